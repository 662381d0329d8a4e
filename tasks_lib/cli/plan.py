"""Shows what a run of a job would do."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import count, dollars, growth, short_count
from tasks_lib.cli.places import nearby
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import fact, note, tell
from tasks_lib.configs import Environment
from tasks_lib.domain.job import Limits
from tasks_lib.job.preflight import Preflight, preflight
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options


def show_plan(path: Path, *, overrides: Mapping[str, object], options: Options, as_json: bool) -> None:
    """Check a job and print what its run would do.

    Raises:
        Mistake: the first thing that would keep it from being run.
    """
    setup = load_setup(path, overrides=overrides, environment=Environment.from_os())
    found = preflight(setup, options=options)
    if as_json:
        tell(json_text(found.as_json()))
        return
    tell(f"{found.job}: can be run; nothing was asked and nothing was spent")
    for name, text in _facts(found):
        tell(fact(name, text))
    tell("")
    show_table(_revisions(found))
    tell("")
    show_table(_models(found))
    for warning in found.warnings:
        note(f"warning: {warning}")


def _facts(found: Preflight) -> Iterator[tuple[str, str]]:
    dialect = f", {found.dialect}" if found.dialect else ""
    yield "source", f"{nearby(found.source)}{dialect}"
    yield "columns", ", ".join(found.columns)
    if found.inputs:
        yield "inputs", ", ".join(f"{{{{{name}}}}} = {column}" for name, column in found.inputs.items())
    if found.compared:
        yield "compares", ", ".join(found.compared)
        runs = f"{count(found.rows)} rows x {len(found.compared)} revisions = {count(found.runs)}"
        yield "runs", f"{runs}, {count(found.answered)} of them answered before"
    else:
        yield "rows", f"{count(found.rows)}, {count(found.answered)} of them answered before"
    yield "to run", _to_run(found)
    grown = growth(new=found.new, changed=found.changed)
    if grown is not None and found.answered + found.changed:
        yield "of these", grown
    if found.files:
        yield "files", f"of {', '.join(found.files)}{_lacking(found)}"
    if found.hosts:
        yield "asks", f"{', '.join(found.hosts)} for files and pages of rows"
    yield "limits", _limits(found.limits) or "those of the provider"
    yield "ledger", nearby(Path(found.ledger))
    if found.output is None:
        yield "output", "none; rowmill export writes one from the ledger"
    else:
        yield "output", nearby(found.output)
        added = (name for name in found.output_columns if name not in found.columns)
        yield "adds", ", ".join(added)


def _lacking(found: Preflight) -> str:
    if not found.rows_without_file:
        return ""
    rows = found.rows_without_file
    return f"; {count(rows)} {'row lacks its' if rows == 1 else 'rows lack their'} file and will fail for it"


def _to_run(found: Preflight) -> str:
    if not found.to_run:
        return "nothing; a run would make no call"
    if found.hosted_runs:
        return f"{count(found.to_run)}{' runs' if found.compared else ''}{_hosted(found)}"
    tokens = f"about {short_count(found.estimated_input_tokens)} tokens of input"
    cost = found.estimated_input_cost
    price = f" for {dollars(cost)}" if cost is not None else ""
    what = " runs" if found.compared else ""
    return f"{count(found.to_run)}{what}, {tokens}{price}; answers and retries come on top"


def _hosted(found: Preflight) -> str:
    """Runs of hosted tasks, by the task, and what they cost."""
    told = [
        f"{count(one.runs)} {'run' if one.runs == 1 else 'runs'} of {one.model}"
        + (f" for {dollars(one.cost)}" if one.cost is not None else " at a price that is unknown")
        for one in found.hosted_runs
    ]
    costs = [one.cost for one in found.hosted_runs]
    known = [cost for cost in costs if cost is not None]
    whole = f"; {dollars(sum(known, Decimal(0)))} in all" if len(known) == len(costs) > 1 else ""
    return f": {', '.join(told)}{whole}; what is handed on to a fallback comes on top"


def _limits(limits: Limits) -> str:
    told = (
        (limits.in_flight, "{} calls in flight"),
        (limits.requests_per_minute, "{} requests a minute"),
        (limits.tokens_per_minute, "{} tokens a minute"),
        (limits.input_tokens_per_minute, "{} tokens of input a minute"),
        (limits.output_tokens_per_minute, "{} tokens of output a minute"),
        (limits.requests_per_day, "{} requests a day"),
        (limits.tokens_per_day, "{} tokens a day"),
        (limits.max_failures, "{} failed rows"),
    )
    parts = [text.format(count(limit)) for limit, text in told if limit is not None]
    sums = (
        (limits.max_cost, "{}"),
        (limits.max_cost_per_group, "{} for each reporting group"),
        (limits.max_cost_per_day, "{} a day"),
    )
    parts += [text.format(dollars(most)) for most, text in sums if most is not None]
    return ", ".join(parts)


def _revisions(found: Preflight) -> Table:
    return Table(
        columns=("revision", "id", "share", "models"),
        rows=[(one.tag, one.id, _share(found, one.share), ", ".join(one.models)) for one in found.revisions],
    )


def _share(found: Preflight, share: float | None) -> str:
    """What part of the runs a revision is to get."""
    if found.compared:
        return "every row"
    return "as rows say" if share is None else f"{share:.1%}"


def _models(found: Preflight) -> Table:
    columns: dict[str, list[object]] = {
        "model": [one.model for one in found.models],
        "$/M input": [one.input_price for one in found.models],
        "cached": [one.cached_input_price for one in found.models],
        "cache write": [one.cache_write_price for one in found.models],
        "output": [one.output_price for one in found.models],
        "$ a call": [one.request_price or None for one in found.models],
        "price by": [one.price_source or "unknown" for one in found.models],
        "calls in flight": [one.limits.in_flight for one in found.models],
        "a minute": [one.limits.requests_per_minute for one in found.models],
        "tokens a minute": [one.limits.tokens_per_minute for one in found.models],
    }
    said = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return Table(columns=tuple(said), rows=list(zip(*said.values(), strict=True)))
