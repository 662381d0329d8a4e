-- Of each row that was under way when a process died, and was not answered since: at each death, how many rows were?
select identity, list(company order by found_at, batch_id) as companies
from (select *, count(*) over (partition by batch_id) as company from deaths) as died
where not exists (
    from task_runs
    where task_runs.identity = died.identity
      and task_runs.status = 'completed'
      and task_runs.modified_at > died.found_at
)
group by identity;
