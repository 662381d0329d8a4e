-- Which of the ids in `asked` are batches?
select asked.id
from asked
join batches on batches.id = asked.id::uuid;
