-- What was configured, what was asked, what came back and what it cost.
--
-- task_runs and attempts are only ever added to. They have no keys and no indexes: a primary key makes every
-- commit and every opening of a large ledger slower, and nothing here looks up by one.
-- No column is generated and no default calls a function: DuckDB 1.5 cannot replay an ALTER TABLE of such a
-- table after a crash, and the ledger would be lost.
-- Dollars are DECIMAL(24, 12), dollars for a million tokens DECIMAL(18, 6). NULL is unknown, and never zero.

create table tasks (
    id            uuid primary key,
    name          varchar not null,
    description   varchar,
    modality      varchar not null,  -- of the answers: json or text
    schema        json,              -- JSON Schema of the answers
    results_view  varchar not null,  -- the view that has the answers' fields as columns
    created_at    timestamptz not null,
    modified_at   timestamptz not null
);

create table revisions (
    id             uuid primary key,
    task_id        uuid not null,
    fingerprint    uuid not null,     -- names everything that can change an answer
    tag            varchar not null,  -- as last configured
    weight         double not null,   -- as last configured; each batch keeps its own shares
    system_prompt  varchar,
    user_prompt    varchar not null,
    models         json not null,     -- [{model, parameters}], the primary first
    modality       varchar not null,
    schema         json,
    created_at     timestamptz not null,
    modified_at    timestamptz not null
);

create table reporting_groups (
    id          uuid primary key,
    name        varchar not null,
    created_at  timestamptz not null
);

create table batches (
    id           uuid primary key,
    job          varchar not null,
    task_id      uuid not null,
    status       varchar not null,  -- running; or completed, completed_with_failures, interrupted, stopped, refused,
                                    -- failed
    reason       varchar,           -- of a status that is not completed
    started_at   timestamptz not null,
    finished_at  timestamptz,
    rows         bigint,            -- that the batch is about
    completed    bigint,            -- this and the next three: once the batch is over
    failed       bigint,
    skipped      bigint,            -- answered by an earlier batch
    cancelled    bigint,            -- never begun, or cut short
    definition   json not null,     -- the whole configuration
    fingerprint  uuid not null,     -- of the definition
    revisions    json not null,     -- [{id, tag, share}]: the shares of the rows that each was to get
    input        varchar,           -- the source, in words
    user_id      varchar,
    host         varchar,
    pid          bigint,
    version      varchar            -- of the program
);

create table task_runs (
    id                      uuid not null,
    batch_id                uuid not null,
    task_id                 uuid not null,
    task_revision_id        uuid not null,
    revision_tag            varchar,
    revision_chosen_by      varchar,  -- only, weight or tag
    row_key                 varchar,
    row_number              bigint,
    input_hash              uuid,
    identity                uuid not null,     -- this row, with these inputs, under this revision
    status                  varchar not null,  -- completed, failed or cancelled
    response                json,              -- the answer's value
    error_kind              varchar,
    error                   varchar,
    run_data                json,              -- {submitted: {placeholder: value}}
    input_tokens            bigint,            -- these five over all attempts whose usage is known
    output_tokens           bigint,
    cached_tokens           bigint,            -- part of the input
    reasoning_tokens        bigint,            -- part of the output
    total_tokens            bigint,
    llm_call_timing         double,            -- seconds that calls took
    waited                  double,            -- seconds of backoff and gate
    cost                    decimal(24, 12),   -- of all attempts; NULL if that of any is unknown
    cost_source             varchar,           -- price_table, free or unknown
    charged_credits         decimal(24, 12),   -- in a provider's own unit
    is_error                boolean,
    llm_retries             integer,
    used_fallback_model     boolean,
    fallback_trigger        varchar,
    primary_failure_reason  varchar,
    fallback_llm_model      varchar,
    model                   varchar,           -- that answered
    user_id                 varchar,
    reporting_group_id      uuid,
    reporting_group         varchar,
    reference               varchar,
    context_id              varchar,
    metadata                json,
    warnings                json,
    created_at              timestamptz not null,
    modified_at             timestamptz not null
);

create table attempts (
    task_run_id                     uuid not null,
    batch_id                        uuid not null,
    number                          integer not null,  -- from 1
    position                        integer not null,  -- in the revision's models, from 0
    lane                            varchar not null,  -- primary or fallback
    provider                        varchar not null,
    model                           varchar not null,  -- provider:name
    answered_by                     varchar,           -- the model as the provider names it
    http_status                     integer,
    failure_kind                    varchar,           -- NULL: it answered
    error                           varchar,
    retry_after                     double,            -- seconds the provider asked for
    rejected_text                   varchar,           -- what came instead of an answer, cut short
    request_id                      varchar,
    started_at                      timestamptz not null,
    waited                          double not null,   -- seconds before that
    worked                          double not null,   -- seconds after that
    input_tokens                    bigint,
    output_tokens                   bigint,
    cached_tokens                   bigint,
    reasoning_tokens                bigint,
    input_price_per_million         decimal(18, 6),
    output_price_per_million        decimal(18, 6),
    cached_input_price_per_million  decimal(18, 6),    -- NULL beside an input price: the same
    price_source                    varchar,
    cost                            decimal(24, 12),
    maybe_billed                    boolean not null   -- an answer may have been made that never arrived whole
);
