-- What did the runs in `chosen` answer, all of which stand between $first and $last, and in which file?
-- The bounds let DuckDB pass over the rest of a large table without reading its texts.
with answers as (
    select
        chosen.revision_id,
        chosen.input_hash,
        r.id,
        r.response::varchar  as response,
        r.warnings::varchar  as warnings,
        r.model
    from chosen
    join task_runs r on r.rowid = chosen.place
    where r.rowid between $first and $last
)
select
    answers.revision_id,
    answers.input_hash,
    answers.id::varchar,
    answers.response,
    answers.warnings,
    answers.model,
    files.name,
    files.mime_type,
    files.size,
    files.sha256,
    files.uri
from answers
left join files on files.task_run_id = answers.id and files.direction = 'out';
