-- What did each model cost, and how many of its calls were in vain?
-- The cost is that of all calls, failed ones too. The possible cost is what calls would have cost besides, if
-- they were billed for answers that never arrived; calls of unknown cost are counted.
-- `set variable since = '2026-11-01'` leaves out calls that were made before.
create or replace view cost_by_model as
select
    model,
    count(*)                                            as calls,
    count(*) filter (where failure_kind is null)        as answered,
    count(*) filter (where failure_kind is not null)    as failed,
    count(*) filter (where lane = 'fallback')           as as_fallback,
    sum(input_tokens)::bigint                           as input_tokens,
    sum(cached_tokens)::bigint                          as cached_tokens,
    sum(cache_write_tokens)::bigint                     as cache_write_tokens,
    sum(output_tokens)::bigint                          as output_tokens,
    sum(reasoning_tokens)::bigint                       as reasoning_tokens,
    sum(cost)                                           as cost,
    coalesce(sum(estimated_cost), 0)                    as possible_cost,
    sum(cost) filter (where failure_kind is not null)   as cost_of_failed,
    count(*) filter (where cost is null and estimated_cost is null)  as calls_of_unknown_cost,
    count(*) filter (where maybe_billed)                as calls_maybe_billed
from attempts
where failure_kind is distinct from 'circuit_open'  -- which was no call
  and started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
group by model;
