-- What came of the runs in `chosen`, all of which stand between $first and $last?
-- The bounds let DuckDB pass over the rest of a large table without reading its texts.
select
    chosen.number,
    r.id::varchar        as task_run_id,
    r.status,
    r.response::varchar  as response,
    r.error_kind,
    r.error,
    r.model,
    r.input_tokens,
    r.output_tokens,
    r.cost,
    r.possible_cost
from chosen
join task_runs r on r.rowid = chosen.place
where r.rowid between $first and $last;
