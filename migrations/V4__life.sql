-- The life of definitions, and why prices were held.

alter table security add column life text not null default 'active';
comment on column security.life is 'active, inactive (prices are refused), or deleted';
alter table index_definition add column life text not null default 'active';
comment on column index_definition.life is
    'active, inactive (no level leaves), or deleted: what it published stays';

create table held (
    position   bigint primary key,
    doubt      text not null,
    reference  numeric not null
);
comment on table held is 'why the price or rate of a position was held back (effect 3)';
comment on column held.doubt is
    'last: too far from the last one; close: from the previous close; cross: from what other sources say; inverted: a rate like its own inverse';
