-- Adds the files of `arriving_files` to a batch; $batch_id is the batch's.
insert into files by name
select
    * replace (id::uuid as id, task_run_id::uuid as task_run_id),
    $batch_id::uuid as batch_id
from arriving_files;
