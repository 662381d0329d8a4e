-- What do all runs of a batch have in common?
select
    batches.task_id::varchar,
    batches.user_id,
    map_from_entries(list((replace(revisions.fingerprint::varchar, '-', ''), revisions.id::varchar)))
from batches
left join revisions on revisions.task_id = batches.task_id
where batches.id = $batch_id::uuid
group by all;
