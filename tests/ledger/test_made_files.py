"""What the ledger knows of the files that runs made."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks_lib.domain.files import Direction, FileFact
from tasks_lib.domain.output import Answer
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import TaskRun, conclude_joined
from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.ledger.distant import DistantLedger
from tasks_lib.ledger.questions import Questions
from tests.ledger.builders import NOON, answered, begin, job, plan, run

SENT = FileFact(
    direction=Direction.IN, name="scan.png", mime_type="image/png", size=3, sha256="1" * 64, uri="in/scan.png"
)


def made(asked: Plan) -> TaskRun:
    """A run whose answer is a file of its name."""
    name = f"{asked.task_run_id}.pdf"
    file = FileFact(
        direction=Direction.OUT,
        name=name,
        mime_type="application/pdf",
        size=9,
        sha256="0" * 64,
        uri=f"l.files/{name}",
    )
    return run(asked, replace(answered(), answer=Answer(value={"file_name": name}, file=file)))


def names(table: pa.Table) -> list[str]:
    return [one["name"] for one in table.to_pylist()]


def test_the_latest_file_of_each_row(ledger: Ledger) -> None:
    """One for each row and job: the newest that was answered, in the rows' order, jobs apart."""
    old, second, new = (made(plan(key=key, number=number)) for key, number in (("a", 2), ("b", 1), ("a", 2)))
    ledger.add([old, second], batch_id=begin(ledger))
    ledger.add([new], batch_id=begin(ledger))
    other = made(plan(key="a", number=2))
    ledger.add([other], batch_id=begin(ledger, job(name="zebras")))
    expected = [f"{one.plan.task_run_id}.pdf" for one in (second, new, other)]
    assert names(ledger.latest_files()) == expected
    assert names(ledger.files_of([old.plan.task_run_id])) == [f"{old.plan.task_run_id}.pdf"]
    assert names(ledger.files_of([])) == []


def test_a_run_that_shares_an_answer_has_its_file(ledger: Ledger) -> None:
    """Two rows, one file: both tell of it, and it is known once."""
    first = made(plan(key="a"))
    second = conclude_joined(plan(key="b", number=2), first, created_at=NOON, finished_at=NOON)
    ledger.add([first, second], batch_id=begin(ledger))
    name = f"{first.plan.task_run_id}.pdf"
    assert names(ledger.latest_files()) == [name, name]
    assert ledger.files_known([name, "other.pdf"]) == {name}
    assert [one["uri"] for one in ledger.show(second.plan.task_run_id)["files"]] == [f"l.files/{name}"]


def test_the_record_of_a_run_has_its_files(ledger: Ledger) -> None:
    """What was sent stands before what came of it; of the files that were made it is no one."""
    asked = replace(plan(), files=(SENT,))
    ledger.add([made(asked)], batch_id=begin(ledger))
    files = ledger.show(asked.task_run_id)["files"]
    assert [(one["direction"], one["name"]) for one in files] == [
        ("in", "scan.png"),
        ("out", f"{asked.task_run_id}.pdf"),
    ]
    assert files[0] == {
        "direction": "in",
        "name": "scan.png",
        "mime_type": "image/png",
        "size": 3,
        "sha256": "1" * 64,
        "uri": "in/scan.png",
    }
    assert names(ledger.latest_files()) == [f"{asked.task_run_id}.pdf"]
    assert ledger.files_known(["scan.png"]) == set()


def test_batches_that_are_known(ledger: Ledger) -> None:
    """What is no id at all is no batch's."""
    batch = begin(ledger)
    assert ledger.batches_known([batch, "019f3c5a-7b00-7000-8000-000000000000", "'; drop", ""]) == {batch}


@pytest.mark.parametrize("ids", [None, 1, 3])
def test_files_are_asked_for_from_another_process(path: Path, ids: int | None) -> None:
    """Through the batch that writes, the answers are those of the file."""
    with open_ledger(path) as ledger:
        found = [made(plan(key=str(number), number=number)) for number in range(1, 4)]
        ledger.add(found, batch_id=begin(ledger))

        def ask(question: object) -> dict[str, pa.Table]:
            asked = Questions(ledger).begin(question)  # type: ignore[arg-type]  # as JSON has it
            try:
                return {
                    name: pa.Table.from_batches(list(batches), schema=schema)
                    for name, schema, batches in asked.tables()
                }
            finally:
                asked.close()

        distant = DistantLedger(path, ask, close=lambda: None)  # type: ignore[arg-type]  # as above
        run_ids = [one.plan.task_run_id for one in found]
        if ids is None:
            assert distant.latest_files().equals(ledger.latest_files())
        else:
            asked, here = distant.files_of(run_ids[:ids]), ledger.files_of(run_ids[:ids])
            assert sorted(names(asked)) == sorted(names(here))
            assert len(names(asked)) == ids
        assert distant.show(run_ids[0]) == ledger.show(run_ids[0])
