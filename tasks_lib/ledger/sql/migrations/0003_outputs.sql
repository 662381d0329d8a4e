-- Which output files were written, and from what: a finished job that is run again need not write its own anew.

create table outputs (
    path        varchar not null,
    stamp       uuid not null,      -- of the job, its source and the file, as they were when it was written
    rows        bigint not null,    -- in the file
    task_runs   bigint not null,    -- in the ledger
    written_at  timestamptz not null
);
