"""What `rowmill plan` and `rowmill sample` tell of rows that bring files."""

from pathlib import Path

import pytest

from tasks_lib.cli.plan import _facts
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.preflight import preflight
from tests.inputs.one_batch import OneBatch
from tests.inputs.pieces import png

JOB = 'files: [photo, more]\nallow_urls: ["*.test"]\n'


def test_a_plan_tells_of_files(tmp_path: Path) -> None:
    """Before any call one knows which rows lack their file, who will be asked, and what files cost."""
    batch = OneBatch(tmp_path, job=JOB, task="file_input_mode: image\n")
    batch.write("rows.csv", "id,photo,more\n1,a.png,https://x.test/y.png?sig=secret\n2,b.png,\n3,,\n")
    batch.write("a.png", png())
    found = preflight(batch.setup())
    told = dict(_facts(found))
    assert told["files"] == "of photo, more; 2 rows lack their file and will fail for it"
    assert told["asks"] == "x.test for files and pages of rows"
    assert found.estimated_input_tokens > 1_500 * 2, "two pictures of the one row that will be asked"
    assert "secret" not in str(found.as_json())
    batch.write("b.png", png())
    assert "1 row lacks its file" in dict(_facts(preflight(batch.setup())))["files"]


def test_a_plan_tells_what_answered_rows_lack_no_more(tmp_path: Path) -> None:
    """Only rows that are still to be asked count."""
    batch = OneBatch(tmp_path, job="files: photo\n", task="file_input_mode: image\n")
    batch.write("rows.csv", "id,photo\n1,a.png\n2,b.png\n")
    batch.write("a.png", png())
    assert batch.run().completed == 1
    found = preflight(batch.setup())
    assert (found.answered, found.to_run, found.rows_without_file) == (1, 1, 1)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    """A job that names a column the source does not have is told where it does."""
    batch = OneBatch(tmp_path, job="files: foto\n", task="file_input_mode: image\n")
    batch.write("rows.csv", "id,photo\n1,a.png\n")
    with pytest.raises(Mistake, match=r"job.yaml:4:8: files names a column 'foto'.*Did you mean 'photo'"):
        preflight(batch.setup())
