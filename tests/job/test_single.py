"""One task, one run, from Python."""

import re
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import anyio
import httpx
import jsonschema_rs
import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.retries import Retries
from tasks_lib.job import fetch_task_run, run_task
from tasks_lib.job.single import NotAnId
from tasks_lib.ledger import NotInLedger, open_ledger
from tasks_lib.ledger.record import CREDITS, TaskRunRecord, record_schema
from tests.job.pretend import ENVIRONMENT, Pretend, task

pytestmark = pytest.mark.anyio
ASKED = {"text": "good soup"}
ABSENT = "01a200f8-27db-779d-ba76-98d22db7d89b"

# The page's response fields, in its order, with the types that it gives.
PAGE = {
    "task_id": "uuid",
    "task_revision_id": "uuid",
    "response": "string or object",
    "run_data": "object",
    "id": "uuid",
    "created": "time",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "total_tokens": "integer",
    "input_processor_timing": "number or null",
    "llm_call_timing": "number or null",
    "charged_credits": "decimal string or null",
    "files": "list or null",
    "is_error": "boolean or null",
    "llm_retries": "integer or null",
    "used_fallback_model": "boolean or null",
    "primary_failure_reason": "string or null",
    "fallback_llm_model_id": "uuid or null",
    "user_id": "uuid or null",
    "reporting_group_id": "uuid or null",
    "reference": "string or null",
    "context_id": "string or null",
    "reporting_group": "object or null",
}
KINDS = {
    "uuid": lambda value: isinstance(value, str) and str(UUID(value)) == value,
    "string": lambda value: isinstance(value, str),
    "decimal string": lambda value: isinstance(value, str) and re.fullmatch(CREDITS, value) is not None,
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "time": lambda value: isinstance(value, str) and "T" in value,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, float),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def run(ledger: Path, pretend: Pretend | None = None, **given: object) -> TaskRunRecord:
    pretend = pretend or Pretend()
    return await run_task(  # type: ignore[arg-type]  # a test's own arguments
        task(), ASKED, ledger=ledger, environment=ENVIRONMENT, transport=pretend.transport, **given
    )


async def test_the_record_has_the_pages_fields(tmp_path: Path) -> None:
    """R32-R50: the page's names in its order and with its types; what is ours stands behind them."""
    record = await run(tmp_path / "l.duckdb", reporting_group="acme", task_reference="order 7")
    told = record.as_json()
    assert list(told)[: len(PAGE)] == list(PAGE)
    for name, kinds in PAGE.items():
        assert any(KINDS[kind](told[name]) for kind in kinds.split(" or ")), (name, told[name])
    assert told["response"] == {"sentiment": "positive", "length": 17}
    assert told["run_data"] == {"submitted": ASKED}
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"] > 0
    assert told["reference"] == "order 7"
    assert told["reporting_group"]["name"] == "acme"
    assert told["reporting_group"]["id"] == told["reporting_group_id"]
    assert told["context_id"] == told["batch_id"]
    assert (told["is_error"], told["llm_retries"], told["used_fallback_model"]) == (False, 0, False)
    assert told["files"] == []


async def test_the_schema_holds_the_record(tmp_path: Path) -> None:
    """The published JSON Schema describes what is told, and refuses what is not."""
    validator = jsonschema_rs.validator_for(record_schema())
    told = (await run(tmp_path / "l.duckdb")).as_json()
    assert [error.message for error in validator.iter_errors(told)] == []
    assert not validator.is_valid(told | {"input_tokens": "7"})
    assert not validator.is_valid(told | {"charged_credits": 1.5})
    assert not validator.is_valid({name: told[name] for name in told if name != "task_revision_id"})


async def test_it_is_fetched_as_it_was_told(tmp_path: Path) -> None:
    """R05, R51: the id gives the same record again."""
    ledger = tmp_path / "l.duckdb"
    record = await run(ledger)
    assert fetch_task_run(str(record.id), ledger=ledger) == record
    assert fetch_task_run(record.id.hex.upper(), ledger=ledger) == record


async def test_ids_that_are_none(tmp_path: Path) -> None:
    """R53, R55: what is no UUID and what is not there are told apart."""
    ledger = tmp_path / "l.duckdb"
    await run(ledger)
    with pytest.raises(NotAnId, match="is not a UUID"):
        fetch_task_run("run-7", ledger=ledger)
    with pytest.raises(NotInLedger, match="there is no task run"):
        fetch_task_run(ABSENT, ledger=ledger)


async def test_a_failed_run_is_a_record(tmp_path: Path) -> None:
    """R42, R52: a failure is told with its reason, its calls and what they cost."""
    pretend = Pretend(lambda _: httpx.Response(500, text="no"))
    record = await run(
        tmp_path / "l.duckdb", pretend, retries=Retries(transient=1, wait_initial=0.001, wait_max=0.001)
    )
    told = record.as_json()
    assert told["is_error"] is True
    assert told["status"] == "failed"
    assert told["error"]["kind"] == "server_error"
    assert told["response"] == {}
    assert told["llm_retries"] == 1
    assert [attempt["http_status"] for attempt in told["attempts"]] == [500, 500]


async def test_each_call_of_it_is_a_run(tmp_path: Path) -> None:
    """R35: the same input twice is two runs, and the model is asked twice."""
    ledger, pretend = tmp_path / "l.duckdb", Pretend()
    first, second = await run(ledger, pretend), await run(ledger, pretend)
    assert first.id != second.id
    assert len(pretend.asked) == 2


async def test_the_wrong_words_are_refused(tmp_path: Path) -> None:
    """R12, R13: inputs go by task_input and by the placeholders' names; nothing is spent on others."""
    pretend = Pretend()
    with pytest.raises(Mistake, match="task_input has no 'text'"):
        await run_task(
            task(), {"txt": "?"}, ledger=tmp_path / "l", environment=ENVIRONMENT, transport=pretend.transport
        )
    with pytest.raises(TypeError, match="input_params"):
        await run(tmp_path / "l", pretend, input_params=ASKED)
    assert pretend.asked == []


async def test_what_is_not_asked_for_is_not_sent(tmp_path: Path) -> None:
    """R13: further keys stay at home, and in no record."""
    pretend = Pretend()
    record = await run_task(
        task(),
        ASKED | {"secret": "swordfish"},
        ledger=tmp_path / "l.duckdb",
        environment=ENVIRONMENT,
        transport=pretend.transport,
    )
    assert "swordfish" not in str(record) + "".join(pretend.asked)


@pytest.mark.parametrize("label", ["reporting_group", "task_reference", "context_id", "user"])
async def test_labels_have_a_length(tmp_path: Path, label: str) -> None:
    """R09, R17, R50: a label of 65 characters is refused before a call; braces in one mean nothing."""
    pretend = Pretend()
    with pytest.raises(Mistake, match="has 65 characters, 64 are allowed"):
        await run(tmp_path / "l.duckdb", pretend, **{label: "x" * 65})
    assert pretend.asked == []
    assert (await run(tmp_path / "l.duckdb", pretend, **{label: "{{text}}"})).status == "completed"


async def test_one_revision_by_one_name(tmp_path: Path) -> None:
    """R06, R07: a revision is named by its id or its tag, and not by both."""
    ledger = tmp_path / "l.duckdb"
    by_tag = await run(ledger, revision_tag="v1")
    by_id = await run(ledger, revision_id=str(by_tag.task_revision_id))
    assert (by_tag.revision_chosen_by, by_id.revision_chosen_by) == ("tag", "id")
    assert by_tag.task_revision_id == by_id.task_revision_id
    with pytest.raises(Mistake, match="exclude each other"):
        await run(ledger, revision_tag="v1", revision_id=str(by_tag.task_revision_id))
    with pytest.raises(Mistake, match="v7"):
        await run(ledger, revision_tag="v7")


async def test_no_fallback_where_there_is_none(tmp_path: Path) -> None:
    """R10: the fallback is refused before a call where the task has none."""
    pretend = Pretend()
    with pytest.raises(Mistake, match="no fallback"):
        await run(tmp_path / "l.duckdb", pretend, use_fallback_model=True)
    assert pretend.asked == []


async def test_as_a_browser_agent_answers(tmp_path: Path) -> None:
    """W13, W17-W20: the same run under the names of that page."""
    record = await run(tmp_path / "l.duckdb")
    assert record.agent_response() == {
        "task_id": str(record.task_id),
        "task_run_id": str(record.id),
        "history": None,
        "result": {"sentiment": "positive", "length": 17},
        "is_done": True,
        "is_successful": True,
        "status": "success",
    }
    failed = await run(tmp_path / "l.duckdb", Pretend(lambda _: httpx.Response(400, text="no")))
    assert failed.agent_response()["status"] == "failure"
    assert failed.agent_response()["result"] is None


async def test_the_ledger_has_it(tmp_path: Path) -> None:
    """R25: a single run is charged to its group like any row of a batch."""
    ledger = tmp_path / "l.duckdb"
    await run(ledger, reporting_group="acme")
    with open_ledger(ledger, read_only=True) as opened:
        rows = opened.sql("select reporting_group, cost from task_runs").to_pylist()
    assert [row["reporting_group"] for row in rows] == ["acme"]
    assert rows[0]["cost"] > Decimal(0)


def test_it_can_be_called_where_no_loop_runs(tmp_path: Path) -> None:
    """A script calls it through anyio or asyncio like any coroutine."""

    async def one() -> TaskRunRecord:
        return await run(tmp_path / "l.duckdb")

    assert anyio.run(one).status == "completed"
