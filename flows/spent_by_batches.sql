-- What did batches cost, those calls included that may have been billed though no answer arrived?
select coalesce(sum(coalesce(cost, 0) + coalesce(estimated_cost, 0)), 0)
from attempts
where list_contains($batches::varchar[], batch_id::varchar);
