-- Where two revisions were run with the same rows, how do their runs differ, row by row?
-- A row is the same by key and inputs; of each revision the latest answered run stands for it, else the latest that
-- failed. Differences are the revision's less those of `against`, which is the older one. `wins` are rows that the
-- revision completed and the other did not, `losses` the opposite; `win` is their share of both, and a share whose
-- bounds leave out 0.5 is more than chance. Answers are equal whatever the order of their keys.
-- Bounds hold the truth 19 times in 20: of shares after Wilson, of the difference in success after Agresti and Min,
-- of means by Student's t. Rows of which one run shared another's calls, or has no known cost, count for the rest.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view revision_pairs as
with ranked as (
    select id, task_id, tag, row_number() over (partition by task_id order by created_at, tag, id) as place
    from revisions
),
shared as (  -- inputs that more than one revision was run with; where none were, nothing else is read
    select task_id, input_hash
    from task_runs
    where created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by task_id, input_hash
    having min(task_revision_id) <> max(task_revision_id)
),
places as (
    select
        task_id,
        task_revision_id,
        input_hash,
        hash(row_key)  as row_hash,
        -- the one added last, of those that were answered if there are any; a struct would take twice as long
        max(case when is_error then task_runs.rowid else task_runs.rowid + (1::bigint << 48) end)  as place
    from task_runs
    semi join shared using (task_id, input_hash)
    where error_kind is distinct from 'cancelled'
      and created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
    group by all
),
standing as (
    select
        places.task_id,
        places.row_hash,
        places.input_hash,
        places.task_revision_id,
        {
            'completed': not is_error,
            'cost': case when joined_to is null then cost::double end,
            'seconds': case when joined_to is null then llm_call_timing end,
            'answer': response_hash
        }  as run
    from places
    join task_runs on task_runs.rowid = places.place & ((1::bigint << 48) - 1)
),
pairs as (
    select
        one.task_id,
        one.id                                      as revision_id,
        other.id                                    as against_id,
        one.tag                                     as revision_tag,
        other.tag                                   as against_tag,
        new.run                                     as new,
        old.run                                     as old
    from ranked one
    join ranked other on other.task_id = one.task_id and other.place < one.place
    join standing new on new.task_revision_id = one.id
    join standing old
        on old.task_revision_id = other.id
       and old.row_hash = new.row_hash
       and old.input_hash = new.input_hash
),
totals as (
    select
        task_id,
        revision_id,
        against_id,
        revision_tag,
        against_tag,
        count(*)                                                              as rows,
        count(*) filter (where new.completed and old.completed)               as both_completed,
        count(*) filter (where new.completed and not old.completed)           as wins,
        count(*) filter (where old.completed and not new.completed)           as losses,
        count(*) filter (where not new.completed and not old.completed)       as both_failed,
        count(new.answer = old.answer)                                        as answers,
        count(*) filter (where new.answer = old.answer)                       as equal_answers,
        count(new.cost - old.cost)                                            as priced,
        avg(new.cost - old.cost)                                              as cost_difference,
        stddev_samp(new.cost - old.cost)                                      as cost_spread,
        count(new.seconds - old.seconds)                                      as timed,
        avg(new.seconds - old.seconds)                                        as seconds_difference,
        stddev_samp(new.seconds - old.seconds)                                as seconds_spread,
        median(new.seconds - old.seconds)                                     as seconds_difference_p50
    from pairs
    group by all
),
bounds as (
    select
        *,
        ((wins + losses + 1) - (wins - losses) ** 2 / (rows + 2)) ** 0.5 / (rows + 2) * 1.959963985  as success_half,
        1.959963985 * sqrt(wins * losses / nullif(wins + losses, 0) + 0.960364705)  as win_half,
        1.959963985 * sqrt(equal_answers * (answers - equal_answers) / nullif(answers, 0) + 0.960364705)  as equal_half,
        cost_spread / sqrt(priced) * case priced
            when 2 then 12.706205
            when 3 then 4.302653
            else 1.959964 + 2.372271 / (priced - 1) + 2.822499 / (priced - 1) ** 2
                 + 2.555850 / (priced - 1) ** 3 + 1.589534 / (priced - 1) ** 4
        end  as cost_half,
        seconds_spread / sqrt(timed) * case timed
            when 2 then 12.706205
            when 3 then 4.302653
            else 1.959964 + 2.372271 / (timed - 1) + 2.822499 / (timed - 1) ** 2
                 + 2.555850 / (timed - 1) ** 3 + 1.589534 / (timed - 1) ** 4
        end  as seconds_half
    from totals
)
select
    tasks.name                                                             as task,
    bounds.revision_tag,
    bounds.against_tag,
    bounds.revision_id,
    bounds.against_id,
    rows,
    both_completed,
    wins,
    losses,
    both_failed,
    (wins - losses) / rows                                                 as success_difference,
    (wins - losses) / (rows + 2) - success_half                            as success_difference_low,
    (wins - losses) / (rows + 2) + success_half                            as success_difference_high,
    wins / nullif(wins + losses, 0)                                        as win,
    case when wins + losses > 0
        then greatest(round((wins + 1.92072941 - win_half) / (wins + losses + 3.841458821), 9), 0)
    end  as win_low,
    case when wins + losses > 0
        then least(round((wins + 1.92072941 + win_half) / (wins + losses + 3.841458821), 9), 1)
    end  as win_high,
    answers,
    equal_answers / nullif(answers, 0)                                     as equal_answers,
    case when answers > 0
        then greatest(round((equal_answers + 1.92072941 - equal_half) / (answers + 3.841458821), 9), 0)
    end  as equal_answers_low,
    case when answers > 0
        then least(round((equal_answers + 1.92072941 + equal_half) / (answers + 3.841458821), 9), 1)
    end  as equal_answers_high,
    priced                                                                 as priced_rows,
    cost_difference,
    cost_difference - cost_half                                            as cost_difference_low,
    cost_difference + cost_half                                            as cost_difference_high,
    timed                                                                  as timed_rows,
    seconds_difference,
    seconds_difference - seconds_half                                      as seconds_difference_low,
    seconds_difference + seconds_half                                      as seconds_difference_high,
    seconds_difference_p50
from bounds
left join tasks on tasks.id = bounds.task_id;
