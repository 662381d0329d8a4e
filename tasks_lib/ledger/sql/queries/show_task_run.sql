-- What is known of one task run?
select
    r.* replace (
        r.id::varchar                  as id,
        r.batch_id::varchar            as batch_id,
        r.task_id::varchar             as task_id,
        r.task_revision_id::varchar    as task_revision_id,
        r.input_hash::varchar          as input_hash,
        r.identity::varchar            as identity,
        r.joined_to::varchar           as joined_to,
        r.reporting_group_id::varchar  as reporting_group_id,
        r.response::varchar            as response,
        r.run_data::varchar            as run_data,
        r.metadata::varchar            as metadata,
        r.warnings::varchar            as warnings
    ),
    b.job,
    tasks.name         as task,
    revisions.modality as output_modality,
    groups.created_at  as reporting_group_created_at,
    (
        select to_json(list({
            'field': field, 'reasoning': reasoning, 'confidence': confidence, 'url': url, 'title': title,
            'excerpts': excerpts
        } order by number))::varchar
        from citations
        where citations.task_run_id = $id::uuid
    ) as citations,
    (
        select to_json(list({
            'description': steps.description,
            'actions': coalesce((
                select list({
                    'name': name, 'params': params, 'is_done': is_done, 'success': success,
                    'extracted_content': extracted_content, 'error': error,
                    'include_in_memory': include_in_memory, 'further': further
                } order by actions.number)
                from actions
                where actions.task_run_id = $id::uuid and actions.step = steps.number
            ), [])
        } order by steps.number))::varchar
        from steps
        where steps.task_run_id = $id::uuid
    ) as history
from task_runs r
left join batches b on b.id = r.batch_id
left join tasks on tasks.id = r.task_id
left join revisions on revisions.id = r.task_revision_id
left join reporting_groups groups on groups.id = r.reporting_group_id
where r.id = $id::uuid;
