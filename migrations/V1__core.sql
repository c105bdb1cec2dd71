-- The store: a projection of the journal (ARCHITECTURE.md, "Store").
--
-- Conventions
--   position   the place in the journal of the input that a row comes from
--   *_nanos    what a timestamptz cannot hold: nanoseconds 0..999 after its microsecond, so that
--              a replay from here is exact; the time is ts + ts_nanos
--   inc, seq   unsigned 64-bit numbers as the same bits in a bigint; u64(inc) prints them, and so
--              do the views tick, rate and level
--   body       json and not jsonb: the text as it came, which no content can make unstorable
--   numeric    every price, rate and level with the places it had, never a float
-- In wide tables the columns stand from the widest to the narrowest, which saves their padding.

create function u64(bits bigint) returns numeric
    language sql immutable strict parallel safe
    return case when bits < 0 then bits + 18446744073709551616 else bits::numeric end;
comment on function u64 is 'the unsigned number whose bits a bigint column holds';

-- How far the journal is projected: the last statement of every transaction moves it.
create table projection (
    id        smallint primary key default 1 check (id = 1),
    position  bigint not null,
    journal   text,
    updated   timestamptz not null default now()
);
comment on table projection is 'one row: the last journal position whose rows are all here';
comment on column projection.journal is 'which journal; another one must not be mixed in';
insert into projection (position) values (0);

-- Where the journal's records begin, and when they were committed. Levels that leave at the end of
-- a batch, and the time of every level, depend on it. A position without a row in any table was a
-- due timer, or a repeated input that changed nothing.
create table batch (
    position    bigint not null,
    time        timestamptz not null,
    time_nanos  smallint not null
);
comment on table batch is 'the commit batches: what makes a replay from here exact';
create index batch_order on batch using brin (position);

create table label (
    id        integer primary key,
    position  bigint not null,
    text      text not null unique
);
comment on table label is 'interned texts: the sources and venues of ticks and rates';

create table security (
    id            integer primary key,
    symbol        text not null unique,
    name          text,
    currency      text not null,
    price_places  smallint not null,
    position      bigint not null,
    body          json not null default '{}'
);
comment on column security.id is 'the dense id of the engine';

create table index_definition (
    id        integer primary key,
    code      text not null unique,
    name      text,
    currency  text not null,
    position  bigint not null,
    body      json not null default '{}'
);
comment on column index_definition.body is 'the rule book as last defined; command has its history';

create table basket (
    index_id         integer not null references index_definition,
    revision         integer not null,
    position         bigint not null,
    effective        timestamptz not null,
    effective_nanos  smallint not null default 0,
    divisor          numeric,
    cash             numeric,
    body             json not null default '{}',
    primary key (index_id, revision)
);
comment on column basket.divisor is 'none while the index waits for the prices of its base';
comment on table basket is 'the revisions of an index: each level names the one it was made with';

create table basket_member (
    index_id     integer not null,
    revision     integer not null,
    security_id  integer not null references security,
    coefficient  numeric not null,
    price        numeric,
    weight       numeric,
    primary key (index_id, revision, security_id),
    foreign key (index_id, revision) references basket
);
comment on column basket_member.price is 'the reference price when the revision was made';

create table corporate_action (
    position     bigint not null,
    place        smallint not null default 0,
    index_id     integer references index_definition,
    security_id  integer references security,
    kind         text not null,
    ex_date      date,
    body         json not null default '{}',
    primary key (position, place)
);

create table command (
    position        bigint primary key,
    received        timestamptz not null,
    received_nanos  smallint not null default 0,
    client          text not null,
    usr             text,
    verb            text not null,
    body            json not null
);
comment on table command is 'every input that is neither a price nor a rate: the audit trail';

create table official_close (
    day       date not null,
    index_id  integer not null references index_definition,
    run       integer not null default 0,
    revision  integer not null,
    position  bigint not null,
    ts        timestamptz not null,
    ts_nanos  smallint not null default 0,
    level     numeric not null,
    primary key (index_id, day, run)
);

-- effect: what the engine did with it. 0 applied, 1 late, 2 duplicate, 3 held, 4 refused.
create table price_tick (
    ts              timestamptz not null,
    received        timestamptz not null,
    position        bigint not null,
    inc             bigint,
    seq             bigint,
    security_id     integer not null,
    src             integer not null,
    venue           integer,
    ts_nanos        smallint not null,
    received_nanos  smallint not null,
    effect          smallint not null,
    price           numeric not null,
    size            numeric
) partition by range (ts);
-- The history of one security; what of all securities came lately, and replay by position.
create index price_tick_security on price_tick (security_id, ts);
create index price_tick_order on price_tick using brin (ts, position);

create table fx_rate (
    ts              timestamptz not null,
    received        timestamptz not null,
    position        bigint not null,
    inc             bigint,
    seq             bigint,
    src             integer not null,
    ts_nanos        smallint not null,
    received_nanos  smallint not null,
    effect          smallint not null,
    base            text not null,
    quote           text not null,
    rate            numeric not null
) partition by range (ts);
comment on column fx_rate.rate is 'units of quote for one base';
create index fx_rate_pair on fx_rate (base, quote, ts);
create index fx_rate_order on fx_rate using brin (ts, position);

create table index_level (
    ts             timestamptz not null,
    ts_calc        timestamptz not null,
    recorded_at    timestamptz not null default now(),
    position       bigint not null,
    seq            bigint not null,
    index_id       integer not null,
    revision       integer not null,
    run            integer not null default 0,
    stale          integer not null,
    ts_nanos       smallint not null,
    ts_calc_nanos  smallint not null,
    status         text not null,
    level          numeric not null,
    prev_close     numeric,
    -- One index for three readers: history by time, the latest level, and uniqueness.
    primary key (index_id, ts, seq, run)
) partition by range (ts);
comment on table index_level is 'bitemporal: a correction adds rows under a new run';
comment on column index_level.stale is 'how many members had a stale price';
create index index_level_order on index_level using brin (ts, position);

create view tick as
select t.ts, s.symbol, t.price, t.size, v.text as venue, l.text as src,
       u64(t.inc) as inc, u64(t.seq) as seq,
       case t.effect when 0 then 'applied' when 1 then 'late' when 2 then 'duplicate'
                     when 3 then 'held' when 4 then 'refused' end as effect,
       t.received, t.position
from price_tick t
left join security s on s.id = t.security_id
left join label l on l.id = t.src
left join label v on v.id = t.venue;
comment on view tick is 'price_tick for reading: symbols and names instead of numbers';

create view rate as
select r.ts, r.base, r.quote, r.rate, l.text as src, u64(r.inc) as inc, u64(r.seq) as seq,
       case r.effect when 0 then 'applied' when 1 then 'late' when 2 then 'duplicate'
                     when 3 then 'held' when 4 then 'refused' end as effect,
       r.received, r.position
from fx_rate r
left join label l on l.id = r.src;
comment on view rate is 'fx_rate for reading';

create view level as
select l.ts, i.code as "index", l.level, l.prev_close, l.level - l.prev_close as chg,
       round(100 * (l.level - l.prev_close) / nullif(l.prev_close, 0), 2) as chg_pct,
       l.status, l.stale, l.revision, u64(l.seq) as seq, l.run, l.ts_calc, l.recorded_at,
       l.position
from index_level l
left join index_definition i on i.id = l.index_id;
comment on view level is 'index_level for reading';
