-- Which of the identities in `asked` failed, and were not answered at another time?
-- What status says is read from narrower columns, as in `answered`.
select any_value(asked.identity) as identity
from asked
join task_runs on task_runs.identity = asked.identity::uuid
group by task_runs.identity
having bool_or(task_runs.is_error and task_runs.error_kind is distinct from 'cancelled')
   and not bool_or(not task_runs.is_error);
