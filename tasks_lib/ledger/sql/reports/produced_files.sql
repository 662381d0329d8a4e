-- Which files did task runs make, of which rows, and where are they?
-- What was made last comes first.
from produced_files
where created_at >= coalesce(getvariable('since')::timestamptz, '-infinity')
order by created_at desc, name;
