-- Which rows have no answer, and why?
from dead_letters
order by job, row_number, failed_at;
