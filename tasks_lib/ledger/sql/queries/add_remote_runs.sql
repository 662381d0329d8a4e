-- Adds the runs of `arriving` that begin at hosted tasks, or go on there; $batch_id is the batch's.
insert into remote_runs by name
select
    * replace (task_run_id::uuid as task_run_id, identity::uuid as identity),
    $batch_id::uuid as batch_id
from arriving;
