-- How long did each model take to answer, and how long did calls wait before they were made?
from latency
order by answered desc, model;
