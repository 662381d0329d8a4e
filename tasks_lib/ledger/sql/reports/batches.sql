-- How did each batch go, or how is it going?
from batch_summary
order by started_at desc;
