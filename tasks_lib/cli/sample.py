"""Asks a sample of a job's rows and tells what the others will come to."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import cost, count, dollars, duration, short_count
from tasks_lib.cli.progress import somebody_watches
from tasks_lib.cli.run import carried_out
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import fact, note, one_line, tell
from tasks_lib.configs import Environment
from tasks_lib.job.intervals import Estimate
from tasks_lib.job.preflight import Preflight, preflight_and_sample
from tasks_lib.job.row_overrides import with_variants_of
from tasks_lib.job.sample import Beforehand, Outlook, Sampling, outlook
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally

_MAX_COST = "max_cost"  # the override that the flag is


def ask_sample(
    path: Path, *, overrides: Mapping[str, object], options: Options, sample: int, as_json: bool
) -> int:
    """Ask a random sample, print what the rows left will come to, and give the exit code.

    The flag --max-cost is about the sample; what is left is held against the job's own limit.

    Raises:
        Mistake: the first thing that would keep the job from being run.
    """
    environment = Environment.from_os()
    setup = bounded = load_setup(path, overrides=overrides, environment=environment)
    if _MAX_COST in overrides:
        own = {name: value for name, value in overrides.items() if name != _MAX_COST}
        setup = load_setup(path, overrides=own, environment=environment)
    found, rows = preflight_and_sample(setup, options=options, sample=sample)
    for warning in found.warnings:
        note(f"warning: {warning}")
    if not rows:
        _tell_nothing(found, as_json=as_json)
        return 0
    setup = with_variants_of(setup, rows, described=found.source)
    bounded = with_variants_of(bounded, rows, described=found.source)
    sampling = Sampling(bounded, rows, options=options)
    before = sampling.beforehand()
    note(_announced(before, found, most=bounded.job.limits.max_cost))
    tally = Tally()
    summary = carried_out(sampling.run, setup, tally, watched=somebody_watches(), quiet=False)
    asked = tuple(sampling.asked)
    seen = outlook(setup, asked, chosen=summary.rows - summary.skipped, rows=found.to_run) if asked else None
    if as_json:
        told = seen.as_json() if seen is not None else None
        tell(json_text({"plan": found.as_json(), "sample": summary.as_json(), "estimate": told}))
    else:
        _tell(summary, seen, before, tally=tally)
    for warning in seen.warnings if seen is not None else ():
        note(f"warning: {warning}")
    return summary.outcome.exit_code


def _tell_nothing(found: Preflight, *, as_json: bool) -> None:
    if as_json:
        tell(json_text({"plan": found.as_json(), "sample": None, "estimate": None}))
    else:
        tell(f"{found.job}: none of its {count(found.rows)} rows is left to be asked; no call was made")


def _announced(before: Beforehand, found: Preflight, *, most: Decimal | None) -> str:
    """What will be asked for how much, before it is."""
    rows = f"{found.job}: asks {count(before.rows)} of the {count(found.to_run)} rows that are left"
    if before.input_cost is None:
        price = "for a price that is unknown"
    else:
        price = f"for about {dollars(before.input_cost)} of input"
        if before.most is not None:
            price += f" and at most {dollars(before.most)} with the longest answers; retries come on top"
    bound = f"; stops before it has spent {dollars(most)}" if most is not None else ""
    return f"{rows}, {price}{bound}"


def _tell(summary: Summary, seen: Outlook | None, before: Beforehand, *, tally: Tally) -> None:
    how = {
        Outcome.COMPLETED: "",
        Outcome.COMPLETED_WITH_FAILURES: f", {count(summary.failed)} of them failed",
    }.get(summary.outcome, f"; {summary.outcome.value}: {one_line(summary.reason or '', longest=300)}")
    done = summary.completed + summary.failed
    tell(f"{summary.job}: {count(done)} rows were asked, whose answers count{how}")
    if tally.last_failure:
        tell(fact("failure", f"such as {one_line(tally.last_failure, longest=300)}"))
    spent = cost(summary.cost, calls_of_unknown_cost=summary.calls_of_unknown_cost)
    tell(fact("spent", spent))
    tell(fact("time", duration(summary.seconds)))
    if seen is None:
        tell("Nothing can be said of the other rows.")
        if summary.outcome is Outcome.STOPPED and before.most is not None:
            one = dollars(before.most / before.rows)
            tell(f"A call is only made where its worst case is within the limit; here that is about {one}.")
        return
    tell("")
    tell(f"The {count(seen.left)} rows that are left:")
    tell("")
    show_table(Table(columns=("", "about", "from", "to"), rows=list(_lines(seen))))
    tell("")
    if all(one.low is not None for one in (seen.calls, seen.input_tokens)):
        tell("19 of 20 such samples have the truth between `from` and `to`, as long as the rows stay alike.")
    tell(f"The time follows from {seen.paced_by}.")


def _lines(seen: Outlook) -> Iterator[tuple[str, str, str, str]]:
    if seen.cost is None:
        yield "cost", "unknown", "", ""
    else:
        yield "cost", *_told(seen.cost, _money)
    if seen.possible_cost.likely:
        yield "possibly billed on top", *_told(seen.possible_cost, _money)
    if seen.calls_of_unknown_cost.likely and seen.cost is not None:
        yield "calls of unknown cost", *_told(seen.calls_of_unknown_cost, _number)
    yield "calls", *_told(seen.calls, _number)
    yield "input tokens", *_told(seen.input_tokens, _number)
    yield "output tokens", *_told(seen.output_tokens, _number)
    yield "rows that fail", *_told(seen.failures, _share)
    yield "time", *_told(seen.seconds, duration)


def _told(estimate: Estimate, text: Callable[[float], str]) -> tuple[str, str, str]:
    """An estimate and its interval as three cells; bounds of which nothing is known stay empty."""
    low, high = estimate.low, estimate.high
    return (
        text(estimate.likely),
        text(low) if low is not None else "",
        text(high) if high is not None else "",
    )


def _money(amount: float) -> str:
    return dollars(Decimal(repr(amount)))


def _number(number: float) -> str:
    return short_count(round(number))


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
