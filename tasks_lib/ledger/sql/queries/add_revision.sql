-- Adds a revision; one that is known may have another tag and another weight by now.
insert into revisions
values (
    $id::uuid, $task_id::uuid, $fingerprint::uuid, $tag, $weight,
    $system_prompt, $user_prompt, $models, $modality, $schema, $now, $now
)
on conflict (id) do update set
    tag          = excluded.tag,
    weight       = excluded.weight,
    modified_at  = excluded.modified_at;
