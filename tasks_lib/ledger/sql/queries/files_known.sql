-- Which of the names in `asked` are files that task runs made?
select distinct asked.name
from asked
join files on files.name = asked.name
where files.direction = 'out';
