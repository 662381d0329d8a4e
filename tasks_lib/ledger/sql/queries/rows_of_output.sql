-- How many rows has an output file that nothing has changed since it was written?
select arg_max(rows, written_at)
from outputs
where path = $path
  and stamp = $stamp::uuid
  and task_runs = (select count(*) from task_runs);
