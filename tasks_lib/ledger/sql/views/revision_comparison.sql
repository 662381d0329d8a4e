-- How do the revisions of a task compare: success, cost, tokens and time, each with its bounds?
-- One row for a task's revision; `revision_bounds` has the same one below the other, and says what they are.
-- Success, invalid and fallback are shares of the runs; cost (dollars), tokens and seconds are means of a run.
-- `set variable since = '2026-11-01'` leaves out runs that began before.
create or replace view revision_comparison as
select
    task,
    revision_tag,
    revision_id,
    max(runs) filter (where figure = 'success')           as runs,
    max(runs) filter (where figure = 'cost')              as priced_runs,
    max(runs) filter (where figure = 'seconds')           as timed_runs,
    max(value) filter (where figure = 'success')          as success,
    max(low) filter (where figure = 'success')            as success_low,
    max(high) filter (where figure = 'success')           as success_high,
    max(value) filter (where figure = 'invalid')          as invalid,
    max(low) filter (where figure = 'invalid')            as invalid_low,
    max(high) filter (where figure = 'invalid')           as invalid_high,
    max(value) filter (where figure = 'fallback')         as fallback,
    max(low) filter (where figure = 'fallback')           as fallback_low,
    max(high) filter (where figure = 'fallback')          as fallback_high,
    max(value) filter (where figure = 'cost')             as cost,
    max(low) filter (where figure = 'cost')               as cost_low,
    max(high) filter (where figure = 'cost')              as cost_high,
    max(value) filter (where figure = 'input_tokens')     as input_tokens,
    max(low) filter (where figure = 'input_tokens')       as input_tokens_low,
    max(high) filter (where figure = 'input_tokens')      as input_tokens_high,
    max(value) filter (where figure = 'output_tokens')    as output_tokens,
    max(low) filter (where figure = 'output_tokens')      as output_tokens_low,
    max(high) filter (where figure = 'output_tokens')     as output_tokens_high,
    max(value) filter (where figure = 'seconds')          as seconds,
    max(low) filter (where figure = 'seconds')            as seconds_low,
    max(high) filter (where figure = 'seconds')           as seconds_high,
    max(value) filter (where figure = 'seconds_p50')      as seconds_p50,
    max(value) filter (where figure = 'seconds_p95')      as seconds_p95
from revision_bounds
group by task, revision_tag, revision_id;
