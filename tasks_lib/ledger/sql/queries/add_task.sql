-- Adds a task, or brings what is known of it up to date.
insert into tasks
values ($id::uuid, $name, $description, $modality, $schema, $results_view, $now, $now)
on conflict (id) do update set
    description   = excluded.description,
    modality      = excluded.modality,
    schema        = excluded.schema,
    modified_at   = excluded.modified_at;
