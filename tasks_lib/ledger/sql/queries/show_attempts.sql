-- What was tried for one task run, in order?
select * exclude (task_run_id, batch_id)
from attempts
where task_run_id = $id::uuid
order by number;
