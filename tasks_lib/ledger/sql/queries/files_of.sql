-- Which files have the task runs in `asked` made?
select produced_files.* replace (batch_id::varchar as batch_id, task_run_id::varchar as task_run_id)
from produced_files
join asked on asked.id::uuid = produced_files.task_run_id;
