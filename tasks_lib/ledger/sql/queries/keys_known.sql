-- Which of the rows in `asked` did another batch of $job than $but_of run under the same key, and with the same inputs?
select asked.row_key                                                as row_key,
       bool_or(task_runs.input_hash = asked.input_hash::uuid)       as same_inputs
from asked
join task_runs on task_runs.row_key = asked.row_key
where task_runs.batch_id <> $but_of::uuid  -- by which DuckDB leaves out whole row groups of that batch
  and task_runs.batch_id in (select id from batches where job = $job)
group by asked.row_key;
