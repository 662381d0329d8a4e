-- Which run answered each question in `asked` with calls of its own, not before $not_before?
-- The latest is the one that was added last: clocks are set back. A run that took its answer from another one
-- is not looked at, so that an answer is as old as the call that gave it.
select
    asked.revision_id,
    asked.input_hash,
    max(task_runs.rowid) as place
from asked
join task_runs
    on task_runs.input_hash = asked.input_hash::uuid
   and task_runs.task_revision_id = asked.revision_id::uuid
where not task_runs.is_error
  and task_runs.joined_to is null
  and task_runs.modified_at >= $not_before
group by asked.revision_id, asked.input_hash;
