-- Which of the identities in `asked` have an answer?
select distinct asked.identity
from asked
where exists (
    from task_runs
    where task_runs.identity = asked.identity::uuid
      and task_runs.status = 'completed'
);
