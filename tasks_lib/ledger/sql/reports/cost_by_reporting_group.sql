-- What did each reporting group cost, and what did it get for it?
from cost_by_reporting_group
order by cost desc nulls last, reporting_group nulls last;
