-- Which runs at hosted tasks go on without us, or ended while nobody looked?
from open_remote_runs
order by job, last_noted, row_key;
