-- How many processes died while each identity in `asked` was under way?
select any_value(asked.identity) as identity, count(distinct deaths.task_run_id) as deaths
from asked
join deaths on deaths.identity = asked.identity::uuid
group by deaths.identity;
