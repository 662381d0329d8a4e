-- Is a view's name that of another task's results?
select count(*)
from tasks
where results_view = $name
  and id <> $id::uuid;
