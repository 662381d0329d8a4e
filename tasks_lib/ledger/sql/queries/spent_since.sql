-- What did calls cost that began at or after $moment, those included that may have been billed?
-- An attempt that saw the end of a hosted run has its cost, and takes back what others had estimated of it.
select coalesce(sum(coalesce(cost, 0) + coalesce(estimated_cost, 0)), 0)
from attempts
where started_at >= $moment;
