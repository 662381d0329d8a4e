-- Which rows have no answer, and why?
-- The costs are those of the run that is told: the sure one, and what would come on top of it if calls were billed
-- whose answers never arrived.
-- A row (of a job, by its key) that failed in the latest batch that ran it, unless the same question was answered at
-- another time. Where revisions were compared, each one with which the row failed is told.
-- `set variable since = '2026-11-01'` leaves out rows that failed before.
create or replace view dead_letters as
with failed as (
    select r.id, r.batch_id, r.identity, b.job, r.task_id, r.row_key, r.created_at
    from task_runs r
    join batches b on b.id = r.batch_id
    where r.status = 'failed'
      and r.created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
),
answered as (
    select distinct identity
    from task_runs
    where status = 'completed'
      and identity in (select identity from failed)
),
-- only of rows that ever failed: these are few, and all others are many
latest as (
    select
        b.job,
        r.task_id,
        r.row_key,
        arg_max(r.batch_id, r.rowid) as batch_id  -- of the run added last: clocks are set back
    from task_runs r
    join batches b on b.id = r.batch_id
    where r.status <> 'cancelled'
      and (b.job, r.task_id, r.row_key) in (select (job, task_id, row_key) from failed)
    group by b.job, r.task_id, r.row_key
)
select
    failed.job,
    tasks.name                 as task,
    r.row_key,
    r.row_number,
    r.revision_tag,
    r.error_kind,
    r.error,
    r.reporting_group,
    r.cost,
    r.possible_cost,
    r.run_data -> 'submitted'  as submitted,
    r.modified_at              as failed_at,
    r.id                       as task_run_id
from failed
join latest
    on latest.batch_id = failed.batch_id
   and latest.task_id = failed.task_id
   and latest.row_key = failed.row_key
join task_runs r on r.id = failed.id
left join tasks on tasks.id = failed.task_id
where failed.identity not in (select identity from answered);
