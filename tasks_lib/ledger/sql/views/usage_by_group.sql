-- What did each reporting group use of each revision: runs, failures, tokens, credits, money and time?
-- Tokens, credits and money are over all calls of a run. Seconds are those of a run's calls together, for runs
-- that made any. Shares of failures leave out runs that were cut short.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view usage_by_group as
select
    r.reporting_group,
    tasks.name                                           as task,
    revisions.tag                                        as revision_tag,
    r.task_revision_id::varchar                          as task_revision_id,
    count(*)                                             as total_task_runs,
    count(*) filter (where r.status = 'completed')       as completed,
    count(*) filter (where r.status = 'failed')          as failed,
    count(*) filter (where r.status = 'failed')
        / nullif(count(*) filter (where r.status <> 'cancelled'), 0)  as failed_share,
    count(*) filter (where r.used_fallback_model)        as used_fallback_model,
    count(r.joined_to)                                   as answered_by_another_run,
    sum(r.input_tokens)::bigint                          as total_input_tokens,
    sum(r.output_tokens)::bigint                         as total_output_tokens,
    sum(r.total_tokens)::bigint                          as total_tokens,
    sum(r.charged_credits)                               as total_credits,
    sum(r.cost)                                          as cost,
    coalesce(sum(r.possible_cost), 0)                    as possible_cost,
    count(*) filter (where r.cost is null)               as runs_of_unknown_cost,
    avg(r.llm_call_timing)                               as llm_call_timing,
    quantile_cont(r.llm_call_timing, 0.50)               as llm_call_timing_p50,
    quantile_cont(r.llm_call_timing, 0.95)               as llm_call_timing_p95,
    avg(r.input_processor_timing)                        as input_processor_timing
from task_runs r
left join tasks on tasks.id = r.task_id
left join revisions on revisions.id = r.task_revision_id
where r.created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
group by r.reporting_group, tasks.name, revisions.tag, r.task_revision_id;
