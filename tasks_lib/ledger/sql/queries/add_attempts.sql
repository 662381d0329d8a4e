-- Adds the attempts of `arriving_attempts` to a batch; $batch_id is the batch's.
insert into attempts by name
select
    * replace (task_run_id::uuid as task_run_id),
    $batch_id::uuid as batch_id
from arriving_attempts;
