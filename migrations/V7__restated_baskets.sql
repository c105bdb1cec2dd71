-- What restated levels are made of: the revisions that a walk makes differently lie under its run, as
-- its levels do. A level's revision is the one with its number that counts at its position and does
-- not lie behind it: numbers of a run and of what was published may meet.

alter table basket_member
    drop constraint basket_member_index_id_revision_fkey,
    drop constraint basket_member_pkey,
    add column run integer not null default 0;
alter table basket
    drop constraint basket_pkey,
    add column run integer not null default 0,
    add primary key (index_id, revision, run);
alter table basket_member
    add primary key (index_id, revision, run, security_id),
    add foreign key (index_id, revision, run) references basket;
comment on column basket.run is 'which run of corrections has made it; 0 is what was published';

create index basket_order on basket (index_id, position);
create index basket_run on basket (run) where run > 0;
create index basket_member_run on basket_member (run) where run > 0;
