-- Which runs at hosted tasks did a batch begin whose end nobody has seen?
-- The next `rowmill run` or `rowmill adopt` of the job takes them up. Without a remote_id it is not known whether the
-- run was begun: it is looked for then. Runs of a batch that is going on are there, too.
-- `set variable since = '2026-11-01'` leaves out what was begun before.
create or replace view open_remote_runs as
with latest as (
    from remote_runs
    qualify row_number() over (partition by identity order by rowid desc) = 1
),
last as (
    from attempts
    semi join latest on latest.task_run_id = attempts.task_run_id and latest.position = attempts.position
    where failure_kind is distinct from 'circuit_open'
    qualify row_number() over (partition by task_run_id, position order by number desc) = 1
)
select
    b.job,
    latest.provider,
    latest.model,
    coalesce(last.remote_id, latest.remote_id)  as remote_id,
    r.row_key,
    coalesce(last.failure_kind, 'unknown')      as lost_sight_by,
    latest.noted_at                             as last_noted,
    last.estimated_cost,
    latest.task_run_id,
    latest.batch_id
from latest
left join batches b on b.id = latest.batch_id
left join last on last.task_run_id = latest.task_run_id and last.position = latest.position
left join task_runs r on r.id = latest.task_run_id
where latest.noted_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
  and latest.identity not in (select identity from task_runs where not is_error)
  and (
    last.task_run_id is null
    or (
        last.failure_kind in (
            'cancelled', 'given_up', 'timeout', 'connection', 'server_error', 'rate_limited', 'broken_reply',
            'unauthorized', 'forbidden', 'out_of_credit'
        )
        and not coalesce((last.remote_run ->> 'is_over')::boolean, false)
        and (last.remote_id is not null or last.maybe_billed)
    )
  );
