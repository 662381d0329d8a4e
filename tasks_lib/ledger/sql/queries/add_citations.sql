-- Adds the citations that answers rest on, from `told`; $batch_id is the batch's.
insert into citations by name
select
    * replace (task_run_id::uuid as task_run_id),
    $batch_id::uuid as batch_id
from told;
