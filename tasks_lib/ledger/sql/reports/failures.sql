-- What went wrong, how often, and how many rows came to nothing for it?
from failures
order by failed_rows desc, calls desc, failure_kind;
