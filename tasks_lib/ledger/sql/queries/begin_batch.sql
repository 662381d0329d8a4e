-- Adds a batch that has just begun.
insert into batches by name
select
    $id::uuid           as id,
    $job                as job,
    $task_id::uuid      as task_id,
    'running'           as status,
    $started_at         as started_at,
    $rows::bigint       as rows,
    $definition         as definition,
    $fingerprint::uuid  as fingerprint,
    $revisions          as revisions,
    $input              as input,
    $user_id            as user_id,
    $host               as host,
    $pid                as pid,
    $version            as version;
