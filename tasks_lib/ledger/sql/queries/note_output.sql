-- Adds an output file that has just been written.
insert into outputs
select $path, $stamp::uuid, $rows, (select count(*) from task_runs), now();
