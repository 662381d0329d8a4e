-- Which of the task runs in `asked` are here?
select distinct asked.id
from asked
join task_runs on task_runs.id = asked.id::uuid;
