-- Which groups at a provider may hold runs that were begun, and whose ids never arrived?
-- Those of the batches that meant to begin a run of an identity of which nothing else was noted since.
with last as (
    select identity, remote_id
    from remote_runs
    where provider = $provider
    qualify row_number() over (partition by identity order by rowid desc) = 1
)
select group_id
from remote_groups
where provider = $provider
  and batch_id in (
        select batch_id
        from remote_runs
        where provider = $provider
          and remote_id is null
          and identity in (select identity from last where remote_id is null)
  )
order by created_at;
