-- What came of the runs in `chosen`, all of which stand between $first and $last?
-- The bounds let DuckDB pass over the rest of a large table without reading its texts.
with found as materialized (  -- `chosen` can be read once
    select
        chosen.identity,
        r.id,
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
    where r.rowid between $first and $last
),
cited as (
    select
        task_run_id,
        to_json(list(struct_pack(field, confidence, reasoning, url, title, excerpts) order by number))::varchar
            as citations
    from citations
    where task_run_id in (select id from found)
    group by task_run_id
)
select
    identity,
    id::varchar  as task_run_id,
    status,
    response,
    error_kind,
    error,
    model,
    input_tokens,
    output_tokens,
    cost,
    possible_cost,
    citations
from found
left join cited on cited.task_run_id = found.id;
