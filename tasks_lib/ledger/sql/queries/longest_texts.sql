-- How long are the longest texts, in bytes?
-- DuckDB keeps this with each column, and tells it in words; no text is read.
select
    try_cast(regexp_extract(stats(row_key), 'Max String Length: (\d+)', 1) as bigint),
    try_cast(regexp_extract(stats(response), 'Max String Length: (\d+)', 1) as bigint),
    try_cast(regexp_extract(stats(run_data), 'Max String Length: (\d+)', 1) as bigint)
from task_runs
limit 1;
