-- Which task runs have an id between $first and $last?
select id::varchar
from task_runs
where id between $first::uuid and $last::uuid
order by id
limit 6;
