-- What did each reporting group cost, in money, tokens and time, and what did it get for it?
from cost_by_reporting_group
order by cost desc nulls last, reporting_group nulls last;
