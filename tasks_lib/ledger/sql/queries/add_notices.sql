-- Adds the notices of `arriving` to a batch; $batch_id is the batch's.
insert into notices by name
select
    * replace (task_run_id::uuid as task_run_id, tries::integer as tries, http_status::integer as http_status),
    $batch_id::uuid as batch_id
from arriving;
