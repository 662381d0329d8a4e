-- Adds the rows of `arriving`, each of which was under way when a process died; one that is known is left out.
insert into deaths
select batch_id::uuid, task_run_id::uuid, identity::uuid, row_key, row_number, $found_at
from arriving
where task_run_id::uuid not in (select task_run_id from deaths);
