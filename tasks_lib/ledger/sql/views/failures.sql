-- What went wrong, how often, and how many rows came to nothing for it?
-- Calls are all that failed so, also those that a later try made good; rows are runs that ended so.
-- The possible cost is what calls would have cost besides, if they were billed for answers that never arrived.
-- `set variable since = '2026-11-01'` leaves out what happened before.
create or replace view failures as
with calls as (
    select
        failure_kind,
        count(*)                      as calls,
        arg_max(error, started_at)    as example,
        max(started_at)               as last_seen,
        sum(cost)                     as cost,
        sum(estimated_cost)           as possible_cost,
        count(*) filter (where cost is null and estimated_cost is null)  as calls_of_unknown_cost
    from attempts
    where failure_kind <> 'circuit_open'  -- which was no call
      and started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by failure_kind
),
runs as (
    select
        error_kind                                 as failure_kind,
        count(*) filter (where status = 'failed')  as failed_rows,
        arg_max(error, modified_at)                as example,
        max(modified_at)                           as last_seen
    from task_runs
    where error_kind is not null
      and created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by error_kind
)
select
    failure_kind,
    coalesce(calls.calls, 0)                   as calls,
    coalesce(runs.failed_rows, 0)              as failed_rows,
    calls.cost,
    coalesce(calls.possible_cost, 0)           as possible_cost,
    coalesce(calls.calls_of_unknown_cost, 0)   as calls_of_unknown_cost,
    coalesce(calls.example, runs.example)      as example,
    greatest(calls.last_seen, runs.last_seen)  as last_seen
from calls
full join runs using (failure_kind);
