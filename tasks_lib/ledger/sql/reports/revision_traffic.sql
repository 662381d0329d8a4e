-- Did each revision get the share of the rows that it was to get?
from revision_traffic
order by started_at desc, revision_tag;
