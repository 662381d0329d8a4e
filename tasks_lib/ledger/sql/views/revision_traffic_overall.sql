-- Over all batches, did each revision get the share of the runs that it was to get?
-- The configured share is that of the batches, each by its runs; it is NULL if in any of them rows named theirs.
-- `set variable since = '2026-11-01'` leaves out batches that began before.
create or replace view revision_traffic_overall as
with batches_runs as (
    select *, sum(runs) over (partition by batch_id, task) as batch_runs
    from revision_traffic
)
select
    task,
    revision_tag,
    revision_id,
    array_to_string(list_sort(list_distinct(flatten(list(string_split(chosen_by, ', '))))), ', ')  as chosen_by,
    case
        when count(configured_share) = count(*)
            then sum(configured_share * batch_runs) / nullif(sum(sum(batch_runs * configured_share)) over of_task, 0)
    end                                                                                     as configured_share,
    sum(runs) / nullif(sum(sum(runs)) over of_task, 0)                                      as observed_share,
    sum(runs)::bigint                                                                       as runs,
    sum(completed)::bigint                                                                  as completed,
    count(*) filter (where runs > 0)                                                        as batches
from batches_runs
group by task, revision_tag, revision_id
window of_task as (partition by task);
