-- The rows of one run, to read them again and to delete those of an interrupted one; published rows
-- are not in these indexes.

create index index_level_run on index_level (run) where run > 0;
create index official_close_run on official_close (run) where run > 0;

-- A walk need not begin with the first input: it goes on from a state of the past.

alter table correction_run add column begun bigint not null default 0;
comment on column correction_run.begun is 'the position that the walk of the run has begun with';

-- What is not kept any more, so that a walk knows where it cannot begin.

alter table projection
    add column prices_from bigint not null default 0,
    add column levels_from bigint not null default 0;
comment on column projection.prices_from is 'prices and rates before this position may have been dropped';
comment on column projection.levels_from is 'likewise levels';
