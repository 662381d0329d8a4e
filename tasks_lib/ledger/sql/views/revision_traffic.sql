-- Did each revision get the share of the runs that it was to get?
-- Shares of 1; the observed one is of the runs of the batch. The configured one is NULL where rows named theirs.
-- How revisions were chosen: only (there was no other), weight, tag, id or compare; NULL where none was.
-- `set variable since = '2026-11-01'` leaves out batches that began before.
create or replace view revision_traffic as
with configured as (
    select
        id  as batch_id,
        job,
        task_id,
        started_at,
        unnest(from_json(revisions, '[{"id": "UUID", "tag": "VARCHAR", "share": "DOUBLE"}]')) as revision
    from batches
    where started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
),
observed as (
    select
        batch_id,
        task_revision_id,
        revision_tag,
        count(*)                           as runs,
        count(*) filter (where not is_error)  as completed,
        string_agg(distinct revision_chosen_by, ', ' order by revision_chosen_by)  as chosen_by
    from task_runs
    group by batch_id, task_revision_id, revision_tag
)
select
    configured.batch_id,
    configured.job,
    tasks.name                                                as task,
    configured.revision.tag                                   as revision_tag,
    configured.revision.id                                    as revision_id,
    configured.started_at,
    observed.chosen_by,
    configured.revision.share                                 as configured_share,
    coalesce(observed.runs, 0)
        / sum(observed.runs) over (partition by configured.batch_id)  as observed_share,
    coalesce(observed.runs, 0)                                as runs,
    coalesce(observed.completed, 0)                           as completed
from configured
left join observed
    on observed.batch_id = configured.batch_id
   and observed.task_revision_id = configured.revision.id
   and observed.revision_tag = configured.revision.tag
left join tasks on tasks.id = configured.task_id;
