-- What did each reporting group cost, in money, tokens and time, and what did it get for it?
-- The cost is that of all calls, failed ones too. The possible cost is what calls would have cost besides, if
-- they were billed for answers that never arrived; calls of unknown cost are counted. Joined rows are completed
-- ones that made no call, since an identical row did; stored ones made none, since an earlier run had the answer.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view cost_by_reporting_group as
with runs as (
    select
        reporting_group,
        count(*) filter (where status = 'completed')  as completed,
        count(*) filter (where status = 'failed')     as failed,
        count(*) filter (where status = 'cancelled')  as cancelled,
        count(joined_to) filter (where cost_source is distinct from 'stored')  as joined,
        count(*) filter (where cost_source = 'stored')  as stored
    from task_runs
    where created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by reporting_group
),
calls as (
    select
        r.reporting_group,
        count(*)                                as calls,
        sum(a.input_tokens)::bigint             as input_tokens,
        sum(a.output_tokens)::bigint            as output_tokens,
        sum(a.cost)                             as cost,
        sum(a.estimated_cost)                   as possible_cost,
        count(*) filter (where a.cost is null and a.estimated_cost is null)  as calls_of_unknown_cost,
        round(sum(a.worked), 1)                 as seconds
    from attempts a
    join task_runs r on r.id = a.task_run_id
    where a.failure_kind is distinct from 'circuit_open'  -- which was no call
      and r.created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by r.reporting_group
)
select
    runs.reporting_group,
    runs.completed,
    runs.failed,
    runs.cancelled,
    runs.joined,
    runs.stored,
    coalesce(calls.calls, 0)                                          as calls,
    calls.input_tokens,
    calls.output_tokens,
    -- that models worked for it; calls at the same time count each for itself
    coalesce(calls.seconds, 0)                                        as seconds,
    calls.cost,
    coalesce(calls.possible_cost, 0)                                  as possible_cost,
    coalesce(calls.calls_of_unknown_cost, 0)                          as calls_of_unknown_cost,
    -- a quotient is DOUBLE in DuckDB; a mean is rounded anyway, and comes back as money
    (calls.cost / nullif(runs.completed, 0))::decimal(24, 12)         as cost_per_completed
from runs
left join calls on calls.reporting_group is not distinct from runs.reporting_group;
