-- Over all batches, did each revision get the share of the runs that it was to get?
from revision_traffic_overall
order by task, revision_tag;
