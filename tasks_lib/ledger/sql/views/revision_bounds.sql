-- What do the runs of each revision come to, and within which bounds, figure by figure?
-- Bounds hold the truth 19 times in 20: of a share after Wilson, of a mean by Student's t; NULL where nothing is known.
-- Runs are those that came to their end. `invalid` are runs in which a model gave at least one answer that is not
-- what the task asks for. Cost, tokens and seconds are of runs that made calls; a run that shared another one's
-- has none of its own. A run whose cost or usage is unknown counts for the other figures only: see `runs`.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view revision_bounds as
with invalid as (
    select distinct task_run_id
    from attempts
    where failure_kind = 'invalid_output'
      and started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
),
totals as (
    select
        task_runs.task_id,
        task_runs.task_revision_id,
        count(*)                                      as runs,
        count(*) filter (where not is_error)          as completed,
        count(invalid.task_run_id)                    as invalid,
        count(*) filter (where used_fallback_model)   as fell_back,
        count(cost) filter (where joined_to is null)                         as priced,
        avg(cost::double) filter (where joined_to is null)                   as cost,
        stddev_samp(cost::double) filter (where joined_to is null)           as cost_spread,
        count(input_tokens) filter (where joined_to is null)                 as told,
        avg(input_tokens) filter (where joined_to is null)                   as input_tokens,
        stddev_samp(input_tokens) filter (where joined_to is null)           as input_spread,
        avg(output_tokens) filter (where joined_to is null)                  as output_tokens,
        stddev_samp(output_tokens) filter (where joined_to is null)          as output_spread,
        count(llm_call_timing)                                               as timed,
        avg(llm_call_timing)                                                 as seconds,
        stddev_samp(llm_call_timing)                                         as seconds_spread,
        quantile_cont(llm_call_timing, [0.50, 0.95])                         as quantiles
    from task_runs
    left join invalid on invalid.task_run_id = task_runs.id
    where error_kind is distinct from 'cancelled'
      and created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by task_runs.task_id, task_runs.task_revision_id
),
figures as (
    select task_id, task_revision_id, unnest([
        {'place': 1, 'figure': 'success', 'runs': runs, 'found': completed, 'mean': null::double,
         'spread': null::double},
        {'place': 2, 'figure': 'invalid', 'runs': runs, 'found': invalid, 'mean': null, 'spread': null},
        {'place': 3, 'figure': 'fallback', 'runs': runs, 'found': fell_back, 'mean': null, 'spread': null},
        {'place': 4, 'figure': 'cost', 'runs': priced, 'found': null, 'mean': cost, 'spread': cost_spread},
        {'place': 5, 'figure': 'input_tokens', 'runs': told, 'found': null, 'mean': input_tokens,
         'spread': input_spread},
        {'place': 6, 'figure': 'output_tokens', 'runs': told, 'found': null, 'mean': output_tokens,
         'spread': output_spread},
        {'place': 7, 'figure': 'seconds', 'runs': timed, 'found': null, 'mean': seconds, 'spread': seconds_spread},
        {'place': 8, 'figure': 'seconds_p50', 'runs': timed, 'found': null, 'mean': quantiles[1], 'spread': null},
        {'place': 9, 'figure': 'seconds_p95', 'runs': timed, 'found': null, 'mean': quantiles[2], 'spread': null}
    ], recursive := true)
    from totals
),
halves as (
    select
        *,
        case
            when found is not null and runs > 0
                then 1.959963985 * sqrt(found * (runs - found) / runs + 0.960364705)  -- of Wilson's, in runs
            when spread is null then null
            else spread / sqrt(runs) * case runs  -- Student's t for runs - 1 degrees of freedom
                when 2 then 12.706205
                when 3 then 4.302653
                else 1.959964 + 2.372271 / (runs - 1) + 2.822499 / (runs - 1) ** 2
                     + 2.555850 / (runs - 1) ** 3 + 1.589534 / (runs - 1) ** 4
            end
        end as half
    from figures
)
select
    tasks.name               as task,
    revisions.tag            as revision_tag,
    halves.task_revision_id  as revision_id,
    place,
    figure,
    case
        when found is null then mean
        when runs > 0 then found / runs
    end                      as value,
    case
        when found is null then mean - half
        else greatest(round((found + 1.92072941 - half) / (runs + 3.841458821), 9), 0)
    end                      as low,
    case
        when found is null then mean + half
        else least(round((found + 1.92072941 + half) / (runs + 3.841458821), 9), 1)
    end                      as high,
    runs
from halves
join revisions on revisions.id = halves.task_revision_id
left join tasks on tasks.id = halves.task_id;
