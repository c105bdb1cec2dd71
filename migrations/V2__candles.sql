-- Candles of a minute and an hour, kept by the writer in the transaction of the levels themselves.
--
-- Longer ones are made of these by query, shorter ones of the levels. They stay when old levels are
-- dropped (store.keep_levels). A candle counts, of each level, the last run: what a restatement
-- replaces is in no candle.

create table candle (
    ts          timestamptz not null,
    open_ts     timestamptz not null,
    close_ts    timestamptz not null,
    open_seq    bigint not null,
    close_seq   bigint not null,
    levels      bigint not null,
    index_id    integer not null,
    step        integer not null,
    open        numeric not null,
    high        numeric not null,
    low         numeric not null,
    close       numeric not null,
    primary key (index_id, step, ts)
) with (fillfactor = 70);
comment on table candle is 'open, high, low and close of the levels of a minute or an hour';
comment on column candle.step is 'seconds: 60 or 3600';
comment on column candle.open_seq is 'with open_ts the first level, by (ts, seq); likewise the last';

-- The candles of an index that the levels from one time to another make, from scratch.
create function candles_of(of_index integer, of_step integer, first timestamptz, last timestamptz)
returns setof candle language sql stable as $$
    with kept as (
        select distinct on (ts, seq) ts, seq, level from index_level
        where index_id = of_index and ts >= first and ts < last
        order by ts, seq, run desc
    )
    select date_bin(make_interval(secs => of_step), ts, timestamptz '2000-01-01 00:00:00+00') as bin,
           min(ts), max(ts),
           (array_agg(seq order by ts, seq))[1], (array_agg(seq order by ts desc, seq desc))[1],
           count(*), of_index, of_step,
           (array_agg(level order by ts, seq))[1], max(level), min(level),
           (array_agg(level order by ts desc, seq desc))[1]
    from kept group by bin
$$;
comment on function candles_of is 'what the rows of candle must be while their levels are there';

insert into candle
select c.* from index_definition i, (values (60), (3600)) as s(step),
                candles_of(i.id, s.step, '-infinity', 'infinity') c;
