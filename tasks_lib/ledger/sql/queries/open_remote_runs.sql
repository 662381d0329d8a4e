-- Which runs were begun at hosted tasks for the identities in `asked`, whose end nobody has seen?
-- The last of an identity's decides. No run of ours that was recorded knows of it: a process died. Or the last
-- attempt at it lost sight of it. What its attempts have put down as possibly spent is told with it.
with begun as (
    select
        remote_runs.*,
        asked.identity    as told,
        remote_runs.rowid as place
    from remote_runs
    join asked on remote_runs.identity = asked.identity::uuid
),
latest as (
    from begun
    qualify row_number() over (partition by identity order by place desc) = 1
),
tried as (
    select
        latest.identity,
        a.*
    from attempts a
    join begun on begun.task_run_id = a.task_run_id and begun.position = a.position
    join latest on latest.identity = begun.identity and latest.position = begun.position
    where a.failure_kind is distinct from 'circuit_open'
    qualify row_number() over (partition by a.task_run_id, a.number order by begun.place) = 1
),
known as (
    select identity, remote_id, min(noted_at) as since
    from begun
    group by all
),
estimated as (
    select identity, sum(estimated_cost) as estimated_cost
    from tried
    group by identity
),
last as (
    from tried
    semi join latest on latest.task_run_id = tried.task_run_id
    qualify row_number() over (partition by task_run_id order by number desc) = 1
)
select
    latest.told                                    as identity,
    latest.position,
    coalesce(last.remote_id, latest.remote_id)     as remote_id,
    greatest(estimated.estimated_cost, 0)          as estimated_cost,
    date_diff('millisecond', known.since, now()) / 1000 as age
from latest
left join last on last.task_run_id = latest.task_run_id
left join estimated on estimated.identity = latest.identity
left join known
    on known.identity = latest.identity
    and known.remote_id is not distinct from coalesce(last.remote_id, latest.remote_id)
where last.task_run_id is null
   or (
        last.failure_kind in (
            'cancelled', 'given_up', 'timeout', 'connection', 'server_error', 'rate_limited', 'broken_reply',
            'unauthorized', 'forbidden', 'out_of_credit'
        )
        and not coalesce((last.remote_run ->> 'is_over')::boolean, false)
        and (last.remote_id is not null or last.maybe_billed)
   );
