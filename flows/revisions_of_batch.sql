-- What did each revision get of a batch's runs, and what came of them at which cost?
-- The configured share is NULL where rows named their revision. The cost is that of all calls, failed ones too.
with runs as (
    select
        task_revision_id,
        count(*)                                      as runs,
        count(*) filter (where status = 'completed')  as completed,
        count(*) filter (where status = 'failed')     as failed
    from task_runs
    where batch_id = $batch_id
    group by task_revision_id
),
calls as (
    select
        r.task_revision_id,
        count(*)                                as calls,
        sum(a.cost)                             as cost,
        count(*) filter (where a.cost is null)  as calls_of_unknown_cost
    from attempts a
    join task_runs r on r.id = a.task_run_id
    where a.batch_id = $batch_id and r.batch_id = $batch_id
      and a.failure_kind is distinct from 'circuit_open'  -- which was no call
    group by r.task_revision_id
)
select
    traffic.revision_tag                      as revision,
    traffic.configured_share,
    traffic.observed_share,
    coalesce(runs.runs, 0)                    as runs,
    coalesce(runs.completed, 0)               as completed,
    coalesce(runs.failed, 0)                  as failed,
    coalesce(calls.calls, 0)                  as calls,
    calls.cost,
    coalesce(calls.calls_of_unknown_cost, 0)  as calls_of_unknown_cost
from revision_traffic traffic
left join runs on runs.task_revision_id = traffic.revision_id
left join calls on calls.task_revision_id = traffic.revision_id
where traffic.batch_id = $batch_id
order by traffic.configured_share desc nulls last, traffic.revision_tag
limit $most;
