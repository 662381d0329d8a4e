-- How did each batch go, or how is it going?
-- The counts of a running batch are what is committed. The cost is that of all calls, failed ones too; what
-- calls would have cost besides, if they were billed for answers that never arrived, is the possible cost, and
-- calls of unknown cost are counted. Joined rows are completed ones that made no call, since an identical row did;
-- stored ones made none, since an earlier run had the answer.
-- `set variable since = '2026-11-01'` leaves out batches that began before.
create or replace view batch_summary as
with runs as (
    select
        batch_id,
        count(*) filter (where status = 'completed')  as completed,
        count(*) filter (where status = 'failed')     as failed,
        count(joined_to) filter (where cost_source is distinct from 'stored')  as joined,
        count(*) filter (where cost_source = 'stored')  as stored,
        max(modified_at)                              as last_at
    from task_runs
    group by batch_id
),
calls as (
    select
        batch_id,
        count(*)                    as calls,
        sum(input_tokens)::bigint   as input_tokens,
        sum(output_tokens)::bigint  as output_tokens,
        sum(cost)                   as cost,
        sum(estimated_cost)         as possible_cost,
        count(*) filter (where cost is null and estimated_cost is null)  as calls_of_unknown_cost
    from attempts
    where failure_kind is distinct from 'circuit_open'  -- which was no call
    group by batch_id
)
select
    b.id                                                     as batch_id,
    b.job,
    tasks.name                                               as task,
    b.status,
    b.reason,
    b.started_at,
    b.finished_at,
    epoch(coalesce(b.finished_at, runs.last_at) - b.started_at)  as seconds,
    b.rows,
    coalesce(b.completed, runs.completed, 0)                 as completed,
    coalesce(b.failed, runs.failed, 0)                       as failed,
    b.skipped,
    b.cancelled,
    coalesce(runs.joined, 0)                                 as joined,
    coalesce(runs.stored, 0)                                 as stored,
    coalesce(calls.calls, 0)                                 as calls,
    calls.input_tokens,
    calls.output_tokens,
    calls.cost,
    coalesce(calls.possible_cost, 0)                         as possible_cost,
    coalesce(calls.calls_of_unknown_cost, 0)                 as calls_of_unknown_cost,
    b.input,
    b.user_id,
    b.host,
    b.pid
from batches b
left join tasks on tasks.id = b.task_id
left join runs on runs.batch_id = b.id
left join calls on calls.batch_id = b.id
where b.started_at >= coalesce(getvariable('since')::timestamptz, '-infinity');
