"""Rows without files are what they were."""

from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.inputs import FileInput, FileSources, ProcessorStep
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.output import Output
from tasks_lib.domain.planner import Planner
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import fingerprint_of
from tasks_lib.inputs.row_files import FilesOfRows
from tests.job.pretend import task


def test_a_row_without_files_keeps_its_hash() -> None:
    """Nothing is paid for again since files came into the world: without any, hash and fingerprint stay."""
    planner = Planner(task=task(), inputs={"text": "text"}, labels=Labels(), retries=Retries(), seed="s")
    (charted,) = planner.charts(Row(number=1, key="1", values={"text": "good"}))
    assert charted.input_hash == content_hash({"text": "good"})
    plan = planner.plan(charted, task_run_id="x")
    assert (plan.is_prepared, plan.file_refs, plan.messages[-1].text) == (True, (), "Review: good")
    asked = {"system_prompt": None, "user_prompt": "p", "models": (), "output": Output()}
    step = ProcessorStep(param_name="a", input_processor="b")
    assert fingerprint_of(**asked) == fingerprint_of(**asked, processors=())
    assert fingerprint_of(**asked) != fingerprint_of(**asked, processors=(step,))


def test_a_row_with_files_waits_for_them() -> None:
    """6.9: what processors will replace is not rendered, and what was submitted stays."""
    finder = FilesOfRows(FileSources(columns=("f",)), FileInput())
    planner = Planner(
        task=task(), inputs={"text": "text"}, labels=Labels(), retries=Retries(), seed="s", files=finder
    )
    hashes = set()
    for content in ("data:,a", "data:,b", None):
        (charted,) = planner.charts(Row(number=1, key="1", values={"text": "good", "f": content}))
        hashes.add(charted.input_hash)
        plan = planner.plan(charted, task_run_id="x")
        assert plan.is_prepared is (content is None)
        assert plan.submitted == {"text": "good"}
    assert len(hashes) == 3
