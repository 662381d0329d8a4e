-- Runs of hosted tasks: what was begun there, what they cite, and what browser agents did.

alter table attempts add column remote_id varchar;    -- the run's id at a hosted task
alter table attempts add column remote_run json;      -- what the hosted task told of it, beside the answer

create table remote_groups (
    batch_id    uuid not null,
    provider    varchar not null,
    group_id    varchar not null,
    created_at  timestamptz not null
);

create table remote_runs (
    task_run_id  uuid not null,
    batch_id     uuid not null,
    identity     uuid not null,
    position     integer not null,      -- in the revision's models, from 0
    provider     varchar not null,
    model        varchar not null,      -- provider:name
    remote_id    varchar,               -- NULL: it is about to be begun
    noted_at     timestamptz not null
);

create table citations (
    task_run_id  uuid not null,
    batch_id     uuid not null,
    number       integer not null,      -- from 1
    field        varchar not null,      -- of the answer
    reasoning    varchar,
    confidence   varchar,
    url          varchar,
    title        varchar,
    excerpts     json
);

create table steps (
    task_run_id  uuid not null,
    batch_id     uuid not null,
    number       integer not null,      -- from 1
    description  varchar not null
);

create table actions (
    task_run_id        uuid not null,
    batch_id           uuid not null,
    step               integer not null,  -- its number
    number             integer not null,  -- within the step, from 1
    name               varchar not null,
    params             json,
    is_done            boolean,
    success            boolean,
    extracted_content  varchar,
    error              varchar,
    include_in_memory  boolean,
    further            json
);
