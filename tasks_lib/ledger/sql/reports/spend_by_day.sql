-- What was spent on each day (UTC), and on how many calls?
from spend_by_day
order by day desc;
