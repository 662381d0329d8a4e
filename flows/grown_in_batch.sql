-- Which rows did a batch ask, and why these: new ones, changed ones, or such as were asked before?
-- Only batches of the same job are looked at. Where revisions are compared, each row counts once for each.
with asked as (
    select id, row_key, input_hash, identity
    from task_runs
    where batch_id = $batch_id and status in ('completed', 'failed')
),
before as (
    select
        asked.id,
        bool_or(known.identity = asked.identity)      as same_run,
        bool_or(known.input_hash = asked.input_hash)  as same_inputs
    from task_runs known
    join asked on asked.row_key = known.row_key
    where known.batch_id <> $batch_id
      and known.batch_id in (
          select id from batches where job = (select job from batches where id = $batch_id)
      )
    group by asked.id
),
calls as (
    select task_run_id, count(*) as calls, sum(cost) as cost
    from attempts
    where batch_id = $batch_id and failure_kind is distinct from 'circuit_open'
    group by task_run_id
),
sorted as (
    select
        case
            when before.id is null   then 1
            when before.same_run     then 4
            when before.same_inputs  then 3
            else 2
        end  as place,
        asked.id
    from asked
    left join before on before.id = asked.id
)
select
    kinds.what                             as rows,
    count(sorted.id)                       as count,
    coalesce(sum(calls.calls), 0)::bigint  as calls,
    sum(calls.cost)                        as cost
from (values (1, 'new'), (2, 'changed'), (3, 'the same, under another revision'), (4, 'asked again')) kinds(place, what)
left join sorted on sorted.place = kinds.place
left join calls on calls.task_run_id = sorted.id
group by kinds.place, kinds.what
order by kinds.place;
