-- What did calls cost that began at or after $moment, those included that may have been billed?
select coalesce(sum(coalesce(cost, estimated_cost)), 0)
from attempts
where started_at >= $moment;
