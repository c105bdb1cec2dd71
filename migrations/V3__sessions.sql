-- The day of an index: kinds of prices, and closes with what they were made of.

alter table price_tick add column kind smallint not null default 0;
comment on column price_tick.kind is 'what kind of price: 0 trade, 1 open, 2 close, 3 nav';
comment on column price_tick.effect is '0 applied, 1 late, 2 duplicate, 3 held, 4 refused, 5 outranked by a better source, 6 behind the official close';

-- A close is told twice, when it is calculated and when it is final; both stay readable.
alter table official_close
    add column status text not null default 'closed',
    add column seq bigint not null default 0,
    add column prev_close numeric,
    add column divisor numeric,
    add column soq numeric,
    add column body json not null default '{}',
    drop constraint official_close_pkey,
    add primary key (index_id, day, run, status, position);
comment on column official_close.status is 'closed, or final once it was confirmed';
comment on column official_close.soq is 'the special opening quotation of the session';
comment on column official_close.body is 'the composition: security id, coefficient and price of each member';

create or replace view tick as
select t.ts, s.symbol, t.price, t.size, v.text as venue, l.text as src,
       u64(t.inc) as inc, u64(t.seq) as seq,
       case t.effect when 0 then 'applied' when 1 then 'late' when 2 then 'duplicate'
                     when 3 then 'held' when 4 then 'refused' when 5 then 'outranked'
                     when 6 then 'after_close' end as effect,
       t.received, t.position,
       case t.kind when 0 then 'trade' when 1 then 'open' when 2 then 'close'
                   when 3 then 'nav' end as kind
from price_tick t
left join security s on s.id = t.security_id
left join label l on l.id = t.src
left join label v on v.id = t.venue;

create view close as
select c.day, i.code as "index", c.level, c.prev_close, c.status, c.divisor, c.soq, c.revision,
       c.ts, c.position
from official_close c
left join index_definition i on i.id = c.index_id;
comment on view close is 'official_close for reading';
