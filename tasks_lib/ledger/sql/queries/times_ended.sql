-- How many runs of each identity in `asked` came to their end, answered or failed?
select any_value(asked.identity) as identity,
       count(*)                  as times
from asked
join task_runs on task_runs.identity = asked.identity::uuid
where task_runs.error_kind is distinct from 'cancelled'
group by task_runs.identity;
