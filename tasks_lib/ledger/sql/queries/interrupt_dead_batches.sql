-- Ends the batches whose process died: whoever holds the file's lock knows that no other process writes.
-- $alive are the batches of this process. Batches that were brought here run, or ran, elsewhere.
update batches
set
    status       = 'interrupted',
    reason       = 'its process (pid ' || coalesce(pid::varchar, 'unknown') || ' on ' || coalesce(host, 'unknown')
                   || ') ended without closing it',
    finished_at  = (select max(modified_at) from task_runs where batch_id = batches.id),
    completed    = (select count(*) from task_runs where batch_id = batches.id and status = 'completed'),
    failed       = (select count(*) from task_runs where batch_id = batches.id and status = 'failed')
where status = 'running'
  and not list_contains($alive::varchar[], id::varchar)
  and id not in (select batch_id from publications);
