-- Files in and out, processors, cache writes, and notices to webhooks.

alter table task_runs add column input_processor_timing double;  -- seconds of input processors; NULL: none ran
alter table task_runs add column response_hash uuid;             -- the same for equal answers; NULL: there is none

alter table attempts add column cache_write_tokens bigint;                     -- part of the input
alter table attempts add column cache_write_price_per_million decimal(18, 6);  -- NULL beside an input price: the same
alter table attempts add column request_price decimal(18, 6);                  -- dollars for the call itself

create table files (
    id           uuid not null,
    task_run_id  uuid not null,
    batch_id     uuid not null,
    direction    varchar not null,   -- in: it was sent; out: it is the answer
    name         varchar not null,   -- out: <task run id>.<suffix>; in: the row's own
    mime_type    varchar not null,   -- told from its bytes
    size         bigint not null,    -- bytes
    sha256       varchar not null,
    uri          varchar not null,   -- out: relative to the ledger's folder; in: where it was read
    created_at   timestamptz not null
);

create table notices (
    id            varchar not null,      -- as the receiver sees it: webhook-id
    batch_id      uuid not null,
    task_run_id   uuid,                  -- NULL: about the batch
    type          varchar not null,      -- batch.ended or task_run.ended
    url           varchar not null,      -- without what it logs in with
    created_at    timestamptz not null,
    delivered_at  timestamptz,           -- NULL: it was given up
    tries         integer not null,
    http_status   integer,               -- of the last try
    error         varchar                -- of the last try
);
