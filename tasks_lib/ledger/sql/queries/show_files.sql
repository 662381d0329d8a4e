-- Which files were sent for one task run, and which did it make?
select direction, name, mime_type, size, sha256, uri
from files
where task_run_id = $id::uuid
order by direction, name;
