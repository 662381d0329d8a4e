-- Where two revisions were run with the same rows, how do their runs differ, row by row?
from revision_pairs
order by task, revision_tag, against_tag;
