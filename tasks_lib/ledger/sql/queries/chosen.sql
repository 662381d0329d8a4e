-- Which run stands for each identity in `asked`: the latest that was answered, else the latest that failed?
-- The latest is the one that was added last: clocks are set back.
-- What status says is read from narrower columns, as in `answered`.
-- An identity that is asked twice is told once, by the number that it has first.
select
    min(asked.number) as number,
    arg_max(
        task_runs.rowid,
        (not task_runs.is_error, task_runs.error_kind is distinct from 'cancelled', task_runs.rowid)
    ) as place
from asked
join task_runs on task_runs.identity = asked.identity::uuid
group by task_runs.identity;
