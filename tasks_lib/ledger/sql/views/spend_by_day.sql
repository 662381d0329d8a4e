-- What was spent on each day (UTC), and on how many calls?
-- The cost is that of all calls, failed ones too. The possible cost is what calls would have cost besides, if
-- they were billed for answers that never arrived; calls of unknown cost are counted.
-- `set variable since = '2026-11-01'` leaves out calls that were made before.
create or replace view spend_by_day as
select
    (started_at at time zone 'UTC')::date  as day,
    count(distinct batch_id)               as batches,
    count(*)                               as calls,
    sum(input_tokens)::bigint              as input_tokens,
    sum(output_tokens)::bigint             as output_tokens,
    sum(cost)                              as cost,
    coalesce(sum(estimated_cost), 0)       as possible_cost,
    count(*) filter (where cost is null and estimated_cost is null)  as calls_of_unknown_cost
from attempts
where failure_kind is distinct from 'circuit_open'  -- which was no call
  and started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
group by day;
