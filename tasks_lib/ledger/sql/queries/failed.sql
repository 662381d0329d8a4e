-- Which of the identities in `asked` failed, and were not answered at another time?
select any_value(asked.identity) as identity
from asked
join task_runs on task_runs.identity = asked.identity::uuid
group by task_runs.identity
having bool_or(task_runs.status = 'failed')
   and not bool_or(task_runs.status = 'completed');
