-- Which files did task runs make, of which rows, and where are they?
-- A run that shares another one's calls has that one's file; `uri` is relative to the ledger's folder.
create or replace view produced_files as
select
    batches.job,
    tasks.name as task,
    r.batch_id,
    r.id as task_run_id,
    r.row_key,
    r.row_number,
    r.revision_tag,
    r.reporting_group,
    r.reference,
    r.model,
    files.name,
    files.mime_type,
    files.size,
    files.sha256,
    files.uri,
    files.created_at
from files
join task_runs r on r.id = files.task_run_id
left join batches on batches.id = r.batch_id
left join tasks on tasks.id = r.task_id
where files.direction = 'out';
