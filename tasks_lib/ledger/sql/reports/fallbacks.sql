-- Which models had to stand in for which, why, and what did that cost?
from fallbacks
order by runs desc, task, revision_tag, fallback_model, reason;
