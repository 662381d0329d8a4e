"""Batches by Anthropic's protocol: what they ask and cost, and what is refused before the first call."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
import pytest

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.batch import run_batch
from tasks_lib.job.preflight import preflight
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger

ENVIRONMENT = Environment.of({"ANTHROPIC_API_KEY": "sk-not-a-key"})
TASK = """\
task: rate
output:
  schema:
    type: object
    properties: {score: {type: integer, minimum: 1}}
    required: [score]
system_prompt: Be brief.
user_prompt: "Rate {{text}}"
model: anthropic:claude-haiku-4-5
"""
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
limits: {in_flight: 2, max_cost: 1}
"""
UNTOLD = (
    "anthropic cannot be held to minimum of $.score; the model is told in words, and answers are checked "
    "against the whole schema"
)


def setup_in(folder: Path, *, task: str = TASK, job: str = JOB, prices: str = "") -> Setup:
    (folder / "rows.csv").write_text("id,text\n1,one\n2,two\n3,three\n")
    (folder / "task.yaml").write_text(task)
    (folder / "job.yaml").write_text(job)
    (folder / "prices.yaml").write_text(prices)
    return load_setup(folder / "job.yaml", environment=ENVIRONMENT)


def answered(text: str, **usage: int) -> httpx.Response:
    body: dict[str, Any] = {
        "type": "message",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "model": "claude-haiku-4-5-20251001",
    }
    if usage:
        body["usage"] = usage
    return httpx.Response(200, json=body, headers={"request-id": "req_1"})


class Claude:
    """Remembers what it was asked; its answers take turns."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.asked: list[Any] = []
        self._answers = list(answers)

    def run(self, setup: Setup) -> Summary:
        """Run the batch against it."""
        return anyio.run(lambda: run_batch(setup, transport=httpx.MockTransport(self._answer)))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url == "https://api.anthropic.com/v1/messages"
        self.asked.append(orjson.loads(request.content))
        told = self._answers[(len(self.asked) - 1) % len(self._answers)]
        return httpx.Response(told.status_code, content=told.content, headers=told.headers)


def told_by(folder: Path, question: str) -> list[tuple[Any, ...]]:
    with open_ledger(folder / "ledger.duckdb", read_only=True) as ledger:
        return [tuple(row.values()) for row in ledger.sql(question).to_pylist()]


def test_what_is_written_to_a_cache_is_paid_at_its_own_price(tmp_path: Path) -> None:
    """R37: from the answer's usage to the ledger's views, to the last digit."""
    claude = Claude(
        answered(
            '{"score": 3}',
            input_tokens=100,
            output_tokens=10,
            cache_read_input_tokens=1000,
            cache_creation_input_tokens=200,
        )
    )
    summary = claude.run(setup_in(tmp_path))
    dollars = Decimal("0.0005")  # 100 x $1 + 1,000 x $0.10 + 200 x $1.25 + 10 x $5, each for a million
    assert (summary.completed, summary.cost) == (3, 3 * dollars)
    assert told_by(
        tmp_path,
        "select distinct input_tokens, cached_tokens, cache_write_tokens, cache_write_price_per_million, "
        "cost from attempts",
    ) == [(1300, 1000, 200, Decimal("1.25"), dollars)]
    assert told_by(tmp_path, "select cache_write_tokens, cost from cost_by_model") == [(600, 3 * dollars)]


def test_a_bound_that_the_protocol_sets_holds_for_money_too(tmp_path: Path) -> None:
    """Without max_tokens a limit in dollars can be kept all the same: an answer has 4,096 tokens at most."""
    claude = Claude(answered('{"score": 3}', input_tokens=100, output_tokens=10))
    summary = claude.run(setup_in(tmp_path, job=JOB.replace("max_cost: 1", "max_cost: 0.02")))
    assert claude.asked == []  # 4,096 tokens at $5 a million are more
    assert summary.reason == "the limit of $0.02 does not hold another call"
    summary = claude.run(setup_in(tmp_path, job=JOB.replace("max_cost: 1", "max_cost: 0.03")))
    assert [asked["max_tokens"] for asked in claude.asked] == [4096] * 3
    assert (summary.completed, summary.cost) == (3, Decimal("0.00045"))


def test_what_cannot_be_told_of_a_schema_is_said_once_and_checked_all_the_same(tmp_path: Path) -> None:
    """In the plan and at the run's end; an answer that only the whole schema refuses is asked for again."""
    claude = Claude(
        answered('{"score": 0}', input_tokens=9, output_tokens=9),
        answered('{"score": 3}', input_tokens=9, output_tokens=9),
    )
    setup = setup_in(tmp_path, job=JOB.replace("in_flight: 2", "in_flight: 1"))
    assert UNTOLD in preflight(setup).warnings
    summary = claude.run(setup)
    assert summary.warnings == (UNTOLD,)
    assert (summary.completed, len(claude.asked)) == (3, 6)
    assert told_by(tmp_path, "select distinct failure_kind from attempts where failure_kind is not null") == [
        ("invalid_output",)
    ]


def test_what_is_lost_of_a_large_schema_fits_a_line(tmp_path: Path) -> None:
    """Eight places are named, the others counted; a structure that cannot be told is named by itself."""
    many = ", ".join(f"p{number}: {{type: integer, minimum: 1}}" for number in range(20))
    setup = setup_in(
        tmp_path, task=TASK.replace("score: {type: integer, minimum: 1}", many).replace("[score]", "[]")
    )
    (warning,) = [one for one in preflight(setup).warnings if "cannot be held" in one]
    assert "minimum of $.p7 and 12 more; the model" in warning
    free = TASK.replace("{type: integer, minimum: 1}", "{type: object}")
    (warning,) = [one for one in preflight(setup_in(tmp_path, task=free)).warnings if "cannot" in one]
    assert warning.startswith("anthropic cannot be held to all of it: $.score has properties of any name; ")


def test_nothing_is_said_where_all_of_a_schema_is_told(tmp_path: Path) -> None:
    """Nor where the schema is in the prompt, as a whole."""
    setup = setup_in(tmp_path, task=TASK.replace(", minimum: 1", ""))
    assert not any("cannot be held" in warning for warning in preflight(setup).warnings)
    (tmp_path / "providers.yaml").write_text("anthropic: {structured_output: tool}\n")
    setup = setup_in(tmp_path)
    assert not any("cannot be held" in warning for warning in preflight(setup).warnings)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_modality_that_the_protocol_has_not_is_refused_before_the_first_call(
    tmp_path: Path, modality: str
) -> None:
    """R19: with the file, the model, what it can answer, and who can answer otherwise."""
    rest = TASK[TASK.index("system") :]
    task = f"task: draw\noutput: {{modality: {modality}}}\n{rest}"
    setup = setup_in(tmp_path, task=task)
    message = (
        rf"job.yaml: output.modality is {modality}, and anthropic:claude-haiku-4-5 cannot answer so: the "
        r"protocol anthropic answers in json, text, csv, pdf. Ask a model of a provider that speaks one of "
        r"openai, google, local."
    )
    claude = Claude(answered("no"))
    with pytest.raises(Mistake, match=message):
        preflight(setup)
    with pytest.raises(Mistake, match=message):
        claude.run(setup)
    assert claude.asked == []


def test_a_call_that_has_a_price_of_its_own_is_planned_and_paid(tmp_path: Path) -> None:
    """A price for the call alone needs no usage, counts in the plan, and stands in the ledger."""
    prices = '"anthropic:*": {input: 0, output: 0, request: 0.04}\n'
    setup = setup_in(tmp_path, prices=prices)
    found = preflight(setup)
    assert found.estimated_input_cost == Decimal("0.12")
    assert found.models[0].request_price == Decimal("0.04")
    summary = Claude(answered('{"score": 3}')).run(setup)
    assert (summary.completed, summary.cost) == (3, Decimal("0.12"))
    assert told_by(tmp_path, "select distinct request_price, cost, input_tokens from attempts") == [
        (Decimal("0.04"), Decimal("0.04"), None)
    ]


@pytest.mark.parametrize(
    ("status", "sort", "calls"),
    [
        (400, "invalid_request_error", 3),
        (413, "request_too_large", 3),
        (401, "authentication_error", 1),
        (403, "permission_error", 1),
        (404, "not_found_error", 1),
    ],
)
def test_errors_that_no_other_try_cures_cost_one_call_a_row_or_end_the_batch(
    tmp_path: Path, status: int, sort: str, calls: int
) -> None:
    """R57: what is wrong with one row is not tried again; what is wrong with all ends the batch."""
    claude = Claude(httpx.Response(status, json={"type": "error", "error": {"type": sort, "message": "no"}}))
    summary = claude.run(setup_in(tmp_path, job=JOB.replace("in_flight: 2", "in_flight: 1")))
    assert len(claude.asked) == calls
    assert summary.completed == 0
    assert summary.failed == (3 if calls == 3 else 1)


def test_an_empty_account_ends_the_batch(tmp_path: Path) -> None:
    """It is told as a wrong request, and no further row would fare better."""
    message = "Your credit balance is too low to access the Anthropic API."
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    claude = Claude(httpx.Response(400, json=error))
    summary = claude.run(setup_in(tmp_path, job=JOB.replace("in_flight: 2", "in_flight: 1")))
    assert len(claude.asked) == 1
    assert message in (summary.reason or "")
