-- Corrections: which run says what of which index, and from when on it was readable.
--
-- The rows of a run lie in index_level and official_close under its number, and count once the run
-- stands in correction_run. A run covers the positions from_position up to until_position of an
-- index: there its rows are what is right, and what was published before is still under its own run.

create table correction_run (
    run          integer primary key,
    position     bigint not null,
    recorded_at  timestamptz not null default clock_timestamp()
);
comment on table correction_run is 'runs of corrections whose rows are all here';
comment on column correction_run.position is 'of the input that ended the run: the present state is corrected from here on';

create table restatement (
    run             integer not null references correction_run,
    index_id        integer not null references index_definition,
    policy          text not null,
    from_position   bigint not null,
    until_position  bigint not null,
    from_ts         timestamptz,
    until_ts        timestamptz,
    levels          bigint not null,
    closes          bigint not null,
    largest         numeric,
    primary key (index_id, run)
);
comment on table restatement is 'what a run covers of an index';
comment on column restatement.policy is 'full, or closes where intraday levels stay as they were published';
comment on column restatement.largest is 'the largest change of a level, without its sign';

-- Whether a row is what is right as of a time: of all runs recorded by then that cover its position
-- the newest one has made it.
create function counts(of_index integer, at_position bigint, of_run integer, kind text,
                       as_of timestamptz)
returns boolean language sql stable as $$
    select (of_run = 0 or exists (
            select from correction_run r where r.run = of_run and r.recorded_at <= as_of))
        and not exists (
            select from restatement s join correction_run r using (run)
            where s.index_id = of_index and s.run > of_run and r.recorded_at <= as_of
            and s.from_position <= at_position and at_position < s.until_position
            and (kind = 'close' or s.policy = 'full'))
$$;
comment on function counts is 'whether a level or close of a run is the right one as of a time';

-- The same condition written out, so that it is planned with the levels.
create view level_now as
select l.* from index_level l
where (l.run = 0 or exists (select from correction_run r where r.run = l.run))
and not exists (
    select from restatement s
    where s.index_id = l.index_id and s.run > l.run and s.policy = 'full'
    and s.from_position <= l.position and l.position < s.until_position);
comment on view level_now is 'the levels that are right as of now';

create or replace function candles_of(of_index integer, of_step integer, first timestamptz,
                                      last timestamptz)
returns setof candle language sql stable as $$
    with kept as (
        select ts, seq, level from level_now
        where index_id = of_index and ts >= first and ts < last
    )
    select date_bin(make_interval(secs => of_step), ts, timestamptz '2000-01-01 00:00:00+00') as bin,
           min(ts), max(ts),
           (array_agg(seq order by ts, seq))[1], (array_agg(seq order by ts desc, seq desc))[1],
           count(*), of_index, of_step,
           (array_agg(level order by ts, seq))[1], max(level), min(level),
           (array_agg(level order by ts desc, seq desc))[1]
    from kept group by bin
$$;

-- Makes the candles of everything anew that a run covers. Times of levels outside their positions'
-- order are met too: the span is that of all rows there, published or restated.
create function remake_candles(of_index integer, of_run integer) returns void
language plpgsql as $$
declare
    first timestamptz;
    last timestamptz;
    s restatement;
    a_step integer;
begin
    select * into s from restatement where index_id = of_index and run = of_run;
    select min(ts), max(ts) into first, last from index_level l
    where l.index_id = of_index and l.position >= s.from_position and l.position < s.until_position;
    if first is null then
        return;
    end if;
    foreach a_step in array array[60, 3600] loop
        first := date_bin(make_interval(secs => a_step), first, timestamptz '2000-01-01 00:00:00+00');
        last := date_bin(make_interval(secs => a_step), last, timestamptz '2000-01-01 00:00:00+00')
                + make_interval(secs => a_step);
        delete from candle c where c.index_id = of_index and c.step = a_step
            and c.ts >= first and c.ts < last;
        insert into candle select * from candles_of(of_index, a_step, first, last);
    end loop;
end
$$;
comment on function remake_candles is 'brings the candles of what a run covers in line with it';
