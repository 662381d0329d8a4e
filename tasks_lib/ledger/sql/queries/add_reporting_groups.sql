-- Adds the groups of `arriving` that are not there yet.
insert into reporting_groups
select id::uuid, name, created_at
from arriving
where id::uuid not in (select id from reporting_groups);
