-- How long did each model take to answer, and how long did calls wait before they were made?
-- Seconds, of calls that were answered: waiting is backoff and gate, working is from the gate to the last byte.
-- `set variable since = '2026-11-01'` leaves out calls that were made before.
create or replace view latency as
select
    model,
    count(*)                     as answered,
    quantile_cont(worked, 0.50)  as worked_p50,
    quantile_cont(worked, 0.95)  as worked_p95,
    quantile_cont(worked, 0.99)  as worked_p99,
    quantile_cont(waited, 0.50)  as waited_p50,
    quantile_cont(waited, 0.95)  as waited_p95,
    quantile_cont(waited, 0.99)  as waited_p99
from attempts
where failure_kind is null
  and started_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
group by model;
