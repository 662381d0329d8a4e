-- What does the answer of each run in `asked` rest on, as JSON text?
select
    task_run_id::varchar as task_run_id,
    to_json(list(struct_pack(field, confidence, reasoning, url, title, excerpts) order by number))::varchar
        as citations
from citations
where task_run_id in (select task_run_id::uuid from asked)
group by all;
