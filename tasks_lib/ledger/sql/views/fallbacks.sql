-- Which models had to stand in for which, why, and what did that cost?
-- The cost is that of the stand-in's calls. The possible cost is what they would have cost besides, if they were
-- billed for answers that never arrived; calls of unknown cost are counted.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view fallbacks as
with runs as (
    select
        id,
        task_id,
        revision_tag,
        status,
        split_part(primary_failure_reason, ':', 1) as reason,
        fallback_llm_model
    from task_runs
    where used_fallback_model
      and created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
),
calls as (
    select
        task_run_id,
        any_value(model) filter (where position = 0)                 as primary_model,
        sum(cost) filter (where position > 0)                        as cost,
        sum(estimated_cost) filter (where position > 0)              as possible_cost,
        count(*) filter (where position > 0 and cost is null and estimated_cost is null)
                                                                     as calls_of_unknown_cost
    from attempts
    where task_run_id in (select id from runs)
    group by task_run_id
)
select
    tasks.name                                           as task,
    runs.revision_tag,
    calls.primary_model,
    runs.fallback_llm_model                              as fallback_model,
    runs.reason,
    count(*)                                             as runs,
    count(*) filter (where runs.status = 'completed')    as completed,
    sum(calls.cost)                                      as cost,
    coalesce(sum(calls.possible_cost), 0)                as possible_cost,
    sum(calls.calls_of_unknown_cost)::bigint             as calls_of_unknown_cost
from runs
join calls on calls.task_run_id = runs.id
left join tasks on tasks.id = runs.task_id
group by all;
