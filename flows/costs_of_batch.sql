-- What did a batch cost, by reporting group, and what did it get for it?
-- The cost is that of all calls, failed ones too; calls of unknown cost are counted beside it.
with runs as (
    select
        reporting_group,
        count(*) filter (where status = 'completed')  as completed,
        count(*) filter (where status = 'failed')     as failed
    from task_runs
    where batch_id = $batch_id
    group by reporting_group
),
calls as (
    select
        r.reporting_group,
        count(*)                                as calls,
        sum(a.input_tokens)::bigint             as input_tokens,
        sum(a.output_tokens)::bigint            as output_tokens,
        sum(a.cost)                             as cost,
        count(*) filter (where a.cost is null)  as calls_of_unknown_cost
    from attempts a
    join task_runs r on r.id = a.task_run_id
    where a.batch_id = $batch_id and r.batch_id = $batch_id
      and a.failure_kind is distinct from 'circuit_open'  -- which was no call
    group by r.reporting_group
)
select
    runs.reporting_group,
    runs.completed,
    runs.failed,
    coalesce(calls.calls, 0)                  as calls,
    calls.input_tokens,
    calls.output_tokens,
    calls.cost,
    coalesce(calls.calls_of_unknown_cost, 0)  as calls_of_unknown_cost
from runs
left join calls on calls.reporting_group is not distinct from runs.reporting_group
order by calls.cost desc nulls last, runs.reporting_group nulls last
limit $most;
