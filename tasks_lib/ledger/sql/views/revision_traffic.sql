-- Did each revision get the share of the rows that it was to get?
-- Shares of 1; the observed one is of the runs of the batch.
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
        count(*)                                      as runs,
        count(*) filter (where status = 'completed')  as completed
    from task_runs
    group by batch_id, task_revision_id
)
select
    configured.batch_id,
    configured.job,
    tasks.name                                                as task,
    configured.revision.tag                                   as revision_tag,
    configured.started_at,
    configured.revision.share                                 as configured_share,
    coalesce(observed.runs, 0)
        / sum(observed.runs) over (partition by configured.batch_id)  as observed_share,
    coalesce(observed.runs, 0)                                as runs,
    coalesce(observed.completed, 0)                           as completed
from configured
left join observed
    on observed.batch_id = configured.batch_id
   and observed.task_revision_id = configured.revision.id
left join tasks on tasks.id = configured.task_id;
