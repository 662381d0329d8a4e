-- Ends a batch.
update batches
set
    status       = $status,
    reason       = $reason,
    finished_at  = $finished_at,
    rows         = $rows,
    completed    = $completed,
    failed       = $failed,
    skipped      = $skipped,
    cancelled    = $cancelled
where id = $id::uuid;
