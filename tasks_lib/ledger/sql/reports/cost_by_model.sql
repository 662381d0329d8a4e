-- What did each model cost, and how many of its calls were in vain?
from cost_by_model
order by cost desc nulls last, model;
