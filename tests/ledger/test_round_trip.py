"""What goes into the ledger comes out of it, exactly."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.pricing import Prices
from tasks_lib.domain.run import TaskRun
from tasks_lib.domain.usage import Usage
from tasks_lib.ledger import Ledger, open_ledger
from tests.ledger.builders import NOON, answered, begin, plan, refused, run, task_run_id, with_problem

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]), max_size=40
)  # NUL and all planes, no lone surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: value != float("inf") and value != float("-inf"))
TOKENS = st.integers(0, 2**40)
DOLLARS = st.decimals(0, 1000, places=12)
SECONDS = st.floats(0, 1e6)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds of a strategy have no zone


def stored(ledger: Ledger, *task_runs: TaskRun, batch: str | None = None) -> list[dict[str, Any]]:
    """What the ledger shows of runs that were just added."""
    ledger.add(task_runs, batch_id=batch or begin(ledger))
    return [ledger.show(one.plan.task_run_id) for one in task_runs]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    return Usage(
        input_tokens=draw(TOKENS),
        output_tokens=draw(TOKENS),
        cached_tokens=draw(TOKENS),
        reasoning_tokens=draw(TOKENS),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, str]]:
    """A ledger with a batch, for many examples."""
    with open_ledger(tmp_path_factory.mktemp("shared") / "ledger.duckdb") as opened:
        yield opened, begin(opened)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=TEXTS, text=JSON, value=JSON, message=TEXTS, reference=TEXTS, number=st.integers(1, 2**62))
def test_any_text_and_any_json(
    shared: tuple[Ledger, str], key: str, text: Any, value: Any, message: str, reference: str, number: int
) -> None:
    """R26, R34: keys, inputs, answers and messages come back as they were, NUL included."""
    asked = plan(key=key, number=number, text=text, reference=reference)
    task_run = run(asked, refused(message=message), answered({"value": value}))
    shown = stored(shared[0], task_run, batch=shared[1])[0]
    assert (shown["row_key"], shown["row_number"], shown["reference"]) == (key, number, reference)
    # JSON numbers that are whole stay whole, and floats are the same float
    assert orjson.dumps(shown["response"]) == orjson.dumps({"value": value})
    assert orjson.dumps(shown["run_data"]) == orjson.dumps({"submitted": {"text": text}})
    assert shown["attempts"][0]["error"] == message


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    usage=st.none() | usages(),
    cost=st.none() | DOLLARS,
    price=st.decimals(0, 10_000, places=6),
    waited=SECONDS,
    worked=SECONDS,
    at=TIMES,
)
def test_any_figures(
    shared: tuple[Ledger, str],
    usage: Usage | None,
    cost: Decimal | None,
    price: Decimal,
    waited: float,
    worked: float,
    at: datetime,
) -> None:
    """Tokens, dollars, seconds and times come back exactly; what is unknown comes back as None."""
    prices = Prices(input=price, output=price, source="price_table")
    attempt = answered(usage=usage, prices=prices, waited=waited, worked=worked, at=at)
    object.__setattr__(attempt, "cost", cost)
    task_run = run(plan(), attempt, at=at)
    shown = stored(shared[0], task_run, batch=shared[1])[0]
    (stored_attempt,) = shown["attempts"]
    assert shown["created_at"] == at
    assert stored_attempt["started_at"] == at
    assert (shown["cost"], stored_attempt["cost"]) == (cost, cost)
    assert shown["cost_source"] == ("unknown" if cost is None else "price_table")
    assert stored_attempt["input_price_per_million"] == price
    assert stored_attempt["cached_input_price_per_million"] is None
    assert (stored_attempt["waited"], stored_attempt["worked"]) == (waited, worked)
    assert shown["llm_call_timing"] == worked
    assert shown["charged_credits"] is None
    for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        tokens = getattr(usage, name) if usage is not None else None
        assert (shown[name], stored_attempt[name]) == (tokens, tokens)
    assert shown["total_tokens"] == (usage.total_tokens if usage is not None else None)


def test_lone_surrogates_are_replaced(ledger: Ledger) -> None:
    """UTF-8 has no lone surrogates: they are stored as U+FFFD, and the rest of the group is unharmed."""
    odd = run(
        plan(reference="\ud800 key", group="\udc80"),
        refused(message="bad \udfff"),
        answered({"a\ud800": ["\udc00", 2**70, 1.5]}),
    )
    plain = run(plan(reference="\ufffd", group="\ufffd"), answered({"a": "\ufffd"}))
    shown, beside = stored(ledger, odd, plain)
    assert shown["reference"] == "\ufffd key"
    assert shown["reporting_group"] == beside["reporting_group"] == "\ufffd"
    assert shown["reporting_group_id"] == beside["reporting_group_id"]
    assert shown["attempts"][0]["error"] == "bad \ufffd"
    assert shown["response"] == {"a\ufffd": ["\ufffd", float(2**70), 1.5]}
    assert (beside["reference"], beside["response"]) == ("\ufffd", {"a": "\ufffd"})


def test_dollars_beyond_twelve_decimals_are_rounded(ledger: Ledger) -> None:
    """A figure with more digits than we keep is rounded, and its neighbours stay exact."""
    long, short = answered(), answered()
    object.__setattr__(long, "cost", Decimal("0.1234567890125678"))
    object.__setattr__(short, "cost", Decimal("0.000000000001"))
    (shown,) = stored(ledger, run(plan(), long, short))
    assert [attempt["cost"] for attempt in shown["attempts"]] == [
        Decimal("0.123456789013"),
        Decimal("0.000000000001"),
    ]


def test_times_are_utc(ledger: Ledger) -> None:
    """A time given in another zone is the same moment."""
    there = datetime(2026, 11, 22, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    (shown,) = stored(ledger, run(plan(), answered(at=there), at=there))
    assert shown["created_at"] == NOON
    assert shown["created_at"].utcoffset() == timedelta(0)


def test_every_attempt_is_kept(ledger: Ledger) -> None:
    """A run that failed twice, fell back and answered shows all of it, in order."""
    task_run = run(
        plan(),
        refused(FailureKind.RATE_LIMITED, "slow down"),
        refused(FailureKind.TIMEOUT, "too slow", maybe_billed=True, cost=None),
        answered(position=1),
    )
    (shown,) = stored(ledger, task_run)
    kept = [
        (
            one["number"],
            one["lane"],
            one["model"],
            one["failure_kind"],
            one["retry_after"],
            one["maybe_billed"],
        )
        for one in shown["attempts"]
    ]
    assert kept == [
        (1, "primary", "openai:gpt-5-mini", "rate_limited", 2.0, False),
        (2, "primary", "openai:gpt-5-mini", "timeout", 2.0, True),
        (3, "fallback", "anthropic:claude-haiku-4-5", None, None, False),
    ]
    assert shown["attempts"][0]["rejected_text"] == "sorry"
    assert shown["llm_retries"] == 1
    assert (shown["used_fallback_model"], shown["fallback_trigger"]) == (True, "automatic")
    assert shown["fallback_llm_model"] == shown["model"] == "anthropic:claude-haiku-4-5"
    assert shown["primary_failure_reason"] == "timeout: too slow"
    assert shown["cost"] is None
    assert shown["user_id"] == "ada"


def test_a_failed_run(ledger: Ledger) -> None:
    """A run without an answer has its reason, no response and no model that answered."""
    (shown,) = stored(ledger, run(plan(), refused(FailureKind.REFUSED, "no")))
    assert (shown["status"], shown["is_error"]) == ("failed", True)
    assert (shown["error_kind"], shown["error"]) == ("refused", "no")
    assert (shown["response"], shown["model"]) == (None, None)


def test_an_answer_that_is_null(ledger: Ledger) -> None:
    """JSON null as an answer is an answer, not the lack of one."""
    attempt = answered()
    assert attempt.answer is not None
    object.__setattr__(attempt.answer, "value", None)
    ledger.add([run(plan(), attempt)], batch_id=begin(ledger))
    assert ledger.sql("select response::varchar as r from task_runs").to_pylist() == [{"r": "null"}]


def test_a_row_that_could_not_be_asked(ledger: Ledger) -> None:
    """A run without attempts cost nothing, and used no tokens: that is known."""
    (shown,) = stored(ledger, with_problem(plan(group="g" * 65), "reporting_group has 65 characters"))
    assert (shown["error_kind"], shown["attempts"]) == ("bad_row", [])
    assert (shown["cost"], shown["input_tokens"]) == (Decimal(0), 0)
    assert shown["reporting_group"] is None  # a name of 65 characters is no group


def test_all_or_none(ledger: Ledger) -> None:
    """A group of which one run cannot be stored is not stored at all."""
    good, bad = run(plan(key="good")), run(plan(key="bad"))
    object.__setattr__(bad.plan, "task_run_id", "not a UUID")
    begun = begin(ledger)
    with pytest.raises(Exception, match="not a UUID"):
        ledger.add([good, bad], batch_id=begun)
    assert ledger.sql("select count(*) as n from task_runs").to_pylist() == [{"n": 0}]
    ledger.add([good], batch_id=begun)
    assert ledger.sql("select count(*) as n from attempts").to_pylist() == [{"n": 1}]


def test_an_unknown_batch(ledger: Ledger) -> None:
    """Runs of a batch that was never begun are a bug of the caller's, and told as one."""
    with pytest.raises(LookupError, match="was not begun"):
        ledger.add([run()], batch_id=task_run_id())


def test_a_batch_goes_on_in_another_process(path: Path) -> None:
    """What runs have in common is read from the ledger: it may have been closed since the batch began."""
    with open_ledger(path) as ledger:
        begun = begin(ledger)
    with open_ledger(path) as ledger:
        ledger.add([run(plan(group="acme"))], batch_id=begun)
        (row,) = ledger.sql("select user_id, reporting_group from task_runs").to_pylist()
    assert row == {"user_id": "ada", "reporting_group": "acme"}


def test_reporting_groups_are_kept_once(path: Path) -> None:
    """A group has one id, whenever and by whichever batch it is used."""
    for _ in range(2):
        with open_ledger(path) as ledger:
            begun = begin(ledger)
            ledger.add([run(plan(group="acme")), run(plan(group="acme"))], batch_id=begun)
            ledger.add([run(plan(group="acme")), run(plan(group="globex")), run()], batch_id=begun)
    with open_ledger(path, read_only=True) as ledger:
        joined = ledger.sql(
            "select g.name, count(*) as runs from task_runs r join reporting_groups g "
            "on g.id = r.reporting_group_id group by g.name order by g.name"
        )
        assert joined.to_pylist() == [{"name": "acme", "runs": 6}, {"name": "globex", "runs": 2}]
        assert ledger.sql("select count(*) as n from reporting_groups").to_pylist() == [{"n": 2}]
