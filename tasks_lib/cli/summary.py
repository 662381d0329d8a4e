"""How a batch went, for whoever ran it, and what they may want to do next."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.text import Text

from tasks_lib.cli.figures import cost, count, duration, growth, percent, rate
from tasks_lib.cli.places import nearby
from tasks_lib.cli.words import fact, note, one_line, tell
from tasks_lib.domain.place import shown_setting
from tasks_lib.engine.breakers import Outage
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally

_OPTION_OF = {
    "input": "--input",
    "output": "--output",
    "ledger": "--ledger",
    "reporting_group": "--reporting-group",
    "model": "--model",
    "revision_id": "--revision-id",
    "revision_tag": "--revision-tag",
    "compare": "--compare",
    "max_cost": "--max-cost",
    "max_cost_per_group": "--max-cost-per-group",
    "max_cost_per_day": "--max-cost-per-day",
    "on_ambiguous": "--on-ambiguous",
    "workers": "--workers",
    "runner": "--runner",
    "runner_address": "--runner-address",
    "listen": "--listen",
    "tickets": "--tickets",
    "stored_answers": "--stored-answers",
}
_FLAGS = {"serve": "--serve", "use_fallback_model": "--use-fallback-model"}  # that take no value
_STYLES = {Outcome.COMPLETED: "bold green", Outcome.COMPLETED_WITH_FAILURES: "bold yellow"}
_LONGEST_REASON = 300
_MOST_OUTAGES = 5  # that are told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The command that takes a run up again, as its user would type it."""

    command: str
    options: Options

    @classmethod
    def of(
        cls, path: Path, *, overrides: Mapping[str, object], options: Options, prefect: bool | None
    ) -> Self:
        """The command with the flags that make it the same job; --force is none of them.

        It is to be shown: what is a secret in a web address is left out, and the user has to fill it in.
        """
        words = ["rowmill", "run", str(path)]
        for name, value in overrides.items():
            told = shown_setting(name, str(value))
            if name in _FLAGS:
                words.append(_FLAGS[name])
            elif name in _OPTION_OF:
                words += [_OPTION_OF[name], told]
            else:
                words += ["--set", f"{name}={told}"]
        if options.limit is not None:
            words += ["--limit", str(options.limit)]
        if prefect is not None:
            words.append("--prefect" if prefect else "--no-prefect")
        return cls(command=shlex.join(words), options=options)


def show_summary(summary: Summary, *, tally: Tally, again: Again, aside: bool) -> None:
    """Write the summary to standard output, or aside, to standard error."""
    console = Console(file=sys.stderr if aside else sys.stdout, highlight=False, soft_wrap=True)
    with console.capture() as drawn:
        console.print(_headline(summary, again))
        for name, text in _facts(summary, tally):
            console.print(Text(fact(name, text)))
        for purpose, command in _next(summary, again):
            console.print(Text.assemble(f"{purpose}: ", (command, "bold")))
    (note if aside else tell)(drawn.get().rstrip("\n"))


def _headline(summary: Summary, again: Again) -> Text:
    if _idle(summary) and again.options.adopt is not None:
        return Text("Nothing to do: no run of this job is under way at a hosted task; no call was made.")
    if _idle(summary):
        rows = f"none of the {count(summary.source_rows)} rows has failed and is still without an answer"
        if not again.options.retry_failed:
            rows = f"all {count(summary.source_rows)} rows were answered before"
            if summary.compared:
                rows += f" by each of {', '.join(summary.compared)}"
        return Text(f"Nothing to do: {rows}; no call was made.")
    told = {
        Outcome.COMPLETED: "completed",
        Outcome.COMPLETED_WITH_FAILURES: f"completed, but {_rows(summary.failed)} failed",
        Outcome.STOPPED: "stopped",
        Outcome.REFUSED: "the provider refused",
        Outcome.INTERRUPTED: "interrupted",
        Outcome.CRASHED: "crashed",
    }[summary.outcome]
    headline = Text.assemble(f"{summary.job}: ", (told, _STYLES.get(summary.outcome, "bold red")))
    if summary.reason and not summary.outcome.is_whole:
        headline.append(f": {one_line(summary.reason, longest=_LONGEST_REASON)}")
    return headline


def _idle(summary: Summary) -> bool:
    return summary.outcome is Outcome.COMPLETED and summary.skipped == summary.rows and not summary.calls


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{count(number)} rows"


def _facts(summary: Summary, tally: Tally) -> Iterator[tuple[str, str]]:
    if summary.batch_id is None:
        yield "rows", "none were asked"
    elif not _idle(summary):
        parts = (
            f"{count(summary.completed)} completed",
            f"{count(summary.failed)} failed",
            f"{count(summary.skipped)} skipped",
            f"{count(summary.cancelled)} cancelled",
        )
        if summary.compared:
            each = f"{_rows(summary.source_rows)} with each of {', '.join(summary.compared)}"
            yield "compared", each
        yield summary.counted, f"{count(summary.rows)} = {' + '.join(parts)}"
    yield from _grown(summary)
    if summary.failures:
        kinds = ", ".join(f"{count(number)} {kind}" for kind, number in summary.failures.items())
        yield "failures", kinds
        if tally.last_failure:
            yield "", f"such as {one_line(tally.last_failure, longest=_LONGEST_REASON)}"
    if summary.calls:
        retries = f", {count(tally.retries)} of them retries" if tally.retries else ""
        shared = f"; {_rows(summary.joined)} shared another's" if summary.joined else ""
        yield "calls", f"{count(summary.calls)}{retries}{shared}"
        yield "tokens", f"{count(summary.input_tokens)} in, {count(summary.output_tokens)} out"
        yield (
            "cost",
            cost(
                summary.cost,
                calls_of_unknown_cost=summary.calls_of_unknown_cost,
                possible=summary.possible_cost,
            ),
        )
        done = summary.completed + summary.failed
        speed = f", {rate(done / summary.seconds)}" if done and summary.seconds else ""
        yield "time", f"{duration(summary.seconds)}{speed}"
    yield from _stored(summary)
    yield from _going_on(summary)
    for one in summary.accuracy:
        if one.compared:
            share = percent(one.right, one.compared)
            yield "accuracy", f"{one.name}: {count(one.right)} of {count(one.compared)} right ({share})"
    if summary.output is not None:
        yield "output", nearby(summary.output)
    elif not summary.outcome.is_whole:
        yield "output", "not written, since not all rows came to their end"
    yield from _files(summary)
    yield "ledger", nearby(summary.ledger)
    yield from (("down", _outage(outage)) for outage in summary.outages[:_MOST_OUTAGES])
    if (more := len(summary.outages) - _MOST_OUTAGES) > 0:
        yield "", f"and {count(more)} times more"
    for warning in summary.warnings:
        yield "warning", one_line(warning, longest=_LONGEST_REASON)


def _files(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.files is not None and summary.files.is_dir():
        yield "files", nearby(summary.files)


def _grown(summary: Summary) -> Iterator[tuple[str, str]]:
    grown = growth(new=summary.new, changed=summary.changed)
    if grown is not None and summary.new < summary.rows:
        yield "grown", grown


def _stored(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.stored:
        yield "stored", f"{_rows(summary.stored)} had an answer in the ledger, and made no call"


def _going_on(summary: Summary) -> Iterator[tuple[str, str]]:
    """Runs of hosted tasks that nobody waits for, and that none of their APIs could cancel."""
    for provider, runs in summary.going_on.items():
        what, them = ("1 run goes", "it") if runs == 1 else (f"{count(runs)} runs go", "them")
        yield "under way", f"{what} on at {provider}; the next run takes {them} up"


def _outage(outage: Outage) -> str:
    """Which model was down, when, why, and how many rows did without it."""
    began = f"{outage.began_at.astimezone():%H:%M:%S}"
    if outage.ended_at is None:
        when = f"from {began} to the end"
    else:
        lasted = (outage.ended_at - outage.began_at).total_seconds()
        when = f"from {began} for {duration(lasted)}"
    went = f"{_rows(outage.rows)} went by it: " if outage.rows else ""
    return f"{outage.model} {when}; {went}{one_line(outage.why, longest=_LONGEST_REASON)}"


def _next(summary: Summary, again: Again) -> Iterator[tuple[str, str]]:
    if not summary.outcome.is_whole and again.options.force:
        yield "ask every row once more with", f"{again.command} --force"
        yield "ask only rows that have no answer at all with", again.command
    elif not summary.outcome.is_whole:
        yield "resume with", again.command + (" --retry-failed" if again.options.retry_failed else "")
    elif summary.failed:
        yield "ask the failed rows again with", f"{again.command} --retry-failed"
    if summary.compared and summary.completed:
        command = ["rowmill", "report", "revisions", "--ledger", nearby(summary.ledger)]
        yield "see how they compare with", shlex.join(command)
    if summary.calls:
        command = ["rowmill", "report", "cost_by_reporting_group", "--ledger", nearby(summary.ledger)]
        yield "see what it cost with", shlex.join(command)
