-- For which identities were runs begun at hosted tasks under the ids in `asked`?
select distinct
    asked.remote_id,
    replace(remote_runs.identity::varchar, '-', '') as identity
from asked
join remote_runs using (remote_id);
