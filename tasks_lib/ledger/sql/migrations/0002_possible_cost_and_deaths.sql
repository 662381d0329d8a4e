-- Dollars that may have been spent, rows that another row's call answered, and rows under way at a death.
--
-- What was written before has NULL in the new columns: unknown for possible costs, and not joined.

alter table attempts add column estimated_cost decimal(24, 12);  -- if it was billed; NULL beside a cost

alter table task_runs add column possible_cost decimal(24, 12);  -- sum of the estimated costs, beside the sure cost
alter table task_runs add column joined_to uuid;                 -- the run whose calls answered this one, too

create table deaths (
    batch_id     uuid not null,         -- the batch that died
    task_run_id  uuid not null,         -- that it was working on, and that is nowhere else
    identity     uuid not null,
    row_key      varchar,
    row_number   bigint,
    found_at     timestamptz not null   -- by the next batch
);
