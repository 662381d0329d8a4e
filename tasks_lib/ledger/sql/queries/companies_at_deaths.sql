-- Of each row that was under way when a process died, and was not answered since: at each death, how many rows were?
-- Those who die together are found together; a batch may outlive many of its workers, each with its own rows.
-- The runs are read once, and only those of rows that died are kept.
with answered as (
    select identity, max(modified_at) as last_at
    from task_runs
    where identity in (select identity from deaths)
      and status = 'completed'
    group by identity
)
select died.identity, list(died.company order by died.found_at, died.batch_id) as companies
from (select *, count(*) over (partition by batch_id, found_at) as company from deaths) as died
left join answered on answered.identity = died.identity
where answered.last_at is null
   or answered.last_at <= died.found_at
group by died.identity;
