-- What of other ledgers is here, batch by batch: how far each was brought, and by which parcel.
--
-- Facts of a batch arrive in the order in which its own ledger has them, parcel by parcel, each parcel and its
-- line here together. So what is here of a batch is always its beginning, and a count says where to go on.
-- A batch that has a line here runs, or ran, into another ledger.

create table publications (
    batch_id        uuid primary key,   -- the zero one: changed with whatever all batches share
    parcel          uuid not null,      -- that was taken in last: whoever goes on from another one is refused
    record          varchar not null,   -- a hash of the batch's own row, as it came
    task_runs       bigint not null,    -- this and the next four: rows that are here
    deaths          bigint not null,
    notices         bigint not null,
    remote_groups   bigint not null,
    remote_runs     bigint not null,
    published_by    varchar,            -- the machine
    published_at    timestamptz not null
);

insert into publications values (
    '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', '', 0, 0, 0, 0, 0, null, now()
);
