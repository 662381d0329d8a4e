-- Which file is the latest answer to each row of each job, and of each revision where they are compared?
-- The latest is the one that was added last: clocks are set back.
with latest as (
    select arg_max(r.id, r.rowid) as id
    from task_runs r
    join batches on batches.id = r.batch_id
    where not r.is_error
    group by batches.job, r.task_id, r.row_key, r.revision_tag
)
select produced_files.* replace (batch_id::varchar as batch_id, task_run_id::varchar as task_run_id)
from produced_files
join latest on latest.id = produced_files.task_run_id
order by job, task, row_number, row_key, revision_tag;
