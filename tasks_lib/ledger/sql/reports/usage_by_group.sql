-- What did each reporting group use of each revision: runs, failures, tokens, credits, money and time?
from usage_by_group
order by task, reporting_group nulls last, revision_tag;
