-- How do the revisions of a task compare: success, cost, tokens and time, each with its bounds?
from revision_comparison
order by task, revision_tag;
