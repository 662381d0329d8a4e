"""A running batch as it is now: on a terminal drawn anew each second, or as JSON."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import cost, count, dollars, duration, percent, rate, short_count
from tasks_lib.cli.words import note, one_line, tell, visible
from tasks_lib.live import AccountNow, ModelNow, NothingRunning, Phase, Snapshot, connected

_LOOK_BACK = 10.0  # seconds over which speed is measured
_GROUPS = 8  # that are shown, the costliest first
_WIDTH = 160  # characters of a line where no terminal sets a bound
_TITLES = {
    Phase.PREPARING: "preparing",
    Phase.RUNNING: "running",
    Phase.PAUSED: "paused: rowmill resume goes on",
    Phase.ENDING: "finishing the calls under way",
    Phase.WRITING: "writing",
}


_WHOSE = {"batch": "for this batch", "day": "for this day (UTC)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast a batch was between two looks; what is None cannot be said yet."""

    seconds: float  # between the looks
    rows_per_second: float | None
    calls_per_second: float | None
    tokens_per_minute: float | None
    dollars_per_hour: float | None
    seconds_left: float | None  # if it goes on like that


def rates_between(before: Snapshot, now: Snapshot) -> Rates:
    """What happened between two looks at a batch."""
    seconds = now.seconds - before.seconds
    if seconds <= 0:
        return Rates(
            seconds=0.0,
            rows_per_second=None,
            calls_per_second=None,
            tokens_per_minute=None,
            dollars_per_hour=None,
            seconds_left=None,
        )
    rows = (now.completed + now.failed - before.completed - before.failed) / seconds
    tokens = now.input_tokens + now.output_tokens - before.input_tokens - before.output_tokens
    return Rates(
        seconds=seconds,
        rows_per_second=rows,
        calls_per_second=(now.calls - before.calls) / seconds,
        tokens_per_minute=tokens / seconds * 60,
        dollars_per_hour=float(now.cost - before.cost) / seconds * 3_600,
        seconds_left=(now.rows - now.settled) / rows if rows > 0 and now.phase is Phase.RUNNING else None,
    )


def show_top(ledger: Path, *, as_json: bool, once: bool, every: float) -> None:
    """Show the batch that runs on a ledger until it ends, or one look at it.

    Speed is measured between two looks, so that a single look takes as long as one waits for the next.

    Raises:
        Mistake: no batch is running there.
    """
    with connected(ledger) as client:
        looks = _looks(client.snapshot, every=every)
        if as_json or once or not sys.stdout.isatty():
            _print_looks(looks, as_json=as_json, once=once or not as_json)
        else:
            _draw_looks(looks)


def _looks(snapshot: Callable[[], Snapshot], *, every: float) -> Iterator[tuple[Snapshot, Rates]]:
    """Looks at a batch until it has ended; the first one after `every` seconds, when speed can be told."""
    seen = deque([snapshot()])
    due = monotonic()
    while True:
        due = max(due + every, monotonic())
        sleep(max(0.0, due - monotonic()))  # it may be due by now
        try:
            now = snapshot()
        except NothingRunning:
            return
        while len(seen) > 1 and seen[1].seconds <= now.seconds - _LOOK_BACK:
            seen.popleft()
        yield now, rates_between(seen[0], now)
        seen.append(now)


def _print_looks(looks: Iterator[tuple[Snapshot, Rates]], *, as_json: bool, once: bool) -> None:
    for now, rates in looks:
        if as_json:
            tell(json_text(as_mapping(now, rates)))
        else:
            console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
            console.width = max(console.width, 80 if console.is_terminal else _WIDTH)
            with console.capture() as drawn:
                console.print(picture(now, rates))
            tell(drawn.get().rstrip())
        if once:
            return
    note("the batch has ended; `rowmill status` shows what it came to.")


def _draw_looks(looks: Iterator[tuple[Snapshot, Rates]]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    try:
        with Live(console=console, auto_refresh=False, screen=False, vertical_overflow="ellipsis") as live:
            for now, rates in looks:
                live.update(picture(now, rates), refresh=True)
    except KeyboardInterrupt:
        return  # whoever looks has seen enough; the batch goes on
    note("the batch has ended; `rowmill status` shows what it came to.")


def as_mapping(now: Snapshot, rates: Rates) -> Mapping[str, object]:
    """A look for a program."""
    return {**asdict(now), "phase": now.phase.value, "rates": asdict(rates)}


def picture(now: Snapshot, rates: Rates) -> Group:
    """A look for a reader."""
    parts: list[Text | Padding] = [_title(now), Padding(_bar(now), (0, 0, 0, 2)), *_figures(now, rates)]
    if now.accounts:
        parts.append(Padding(_accounts(now.accounts), (1, 0, 0, 2)))
    if any(model.outages for model in now.models):
        parts.append(Padding(_models(now.models), (1, 0, 0, 2)))
    for budget in now.budgets:
        whose = _WHOSE.get(budget.scope, f"for {visible(budget.of or '(no group)')}")
        reserved = f", {dollars(budget.reserved)} set aside" if budget.reserved else ""
        parts.append(
            _line(
                "limit",
                f"{dollars(budget.spent)} of {dollars(budget.most)} {whose}{reserved}",
            )
        )
    if now.failures:
        kinds = sorted(now.failures.items(), key=lambda item: -item[1])
        parts.append(_line("failures", ", ".join(f"{count(times)} {kind}" for kind, times in kinds)))
    if now.last_failure:
        parts.append(_line("last", one_line(now.last_failure, longest=160)))
    if groups := sorted(now.groups, key=lambda group: -group.cost)[:_GROUPS]:
        shown = ", ".join(
            f"{visible(group.name) if group.name is not None else '(no group)'} {dollars(group.cost)}"
            for group in groups
        )
        more = len(now.groups) - len(groups)
        parts.append(_line("groups", shown + (f" and {count(more)} more" if more > 0 else "")))
    if now.quack:
        parts.append(
            _line("serving", f"{now.quack} (DuckDB's Quack; the token is in the ledger's .live file)")
        )
    return Group(*parts)


def _title(now: Snapshot) -> Text:
    title = Text(visible(now.job), style="bold")
    reason = f" ({one_line(now.reason, longest=100)})" if now.reason else ""
    title.append(f"  {_TITLES[now.phase]}{reason}", style="green" if now.phase is Phase.RUNNING else "yellow")
    title.append(f"  {duration(now.seconds)}, pid {now.pid}, batch {visible(now.batch_id)}", style="dim")
    return title


def _bar(now: Snapshot) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_row(
        ProgressBar(total=max(now.rows, 1), completed=now.settled, width=32),
        Text(f"{count(now.settled)} of {count(now.rows)} {now.counted} ({percent(now.settled, now.rows)})"),
    )
    return grid


def _figures(now: Snapshot, rates: Rates) -> Iterator[Text]:
    rows = [f"{count(now.completed)} completed", f"{count(now.failed)} failed"]
    rows += [f"{short_count(now.skipped)} answered before"] if now.skipped else []
    rows += [f"{short_count(now.joined)} joined"] if now.joined else []
    rows += [f"{short_count(now.stored)} stored"] if now.stored else []
    rows += [f"{count(now.under_way)} under way"]
    yield _line(now.counted, ", ".join(rows))
    speed = []
    if rates.rows_per_second is not None:
        speed.append(f"{rate(rates.rows_per_second)} {now.counted}")
    if rates.calls_per_second is not None:
        speed.append(f"{rate(rates.calls_per_second)} calls")
    if rates.tokens_per_minute is not None:
        speed.append(f"{short_count(round(rates.tokens_per_minute))} tokens/min")
    if rates.seconds_left is not None:
        speed.append(f"{duration(rates.seconds_left)} left")
    if speed:
        yield _line("speed", ", ".join(speed))
    yield _line(
        "calls",
        f"{count(now.calls)}, {count(now.retries)} of them again, "
        f"{short_count(now.input_tokens)} + {short_count(now.output_tokens)} tokens",
    )
    spent = cost(now.cost, calls_of_unknown_cost=now.calls_of_unknown_cost)
    if now.possible_cost > 0:
        spent += f", and {dollars(now.possible_cost)} if lost answers were billed"
    if rates.dollars_per_hour:
        spent += f", ${rates.dollars_per_hour:,.2f} an hour"
    yield _line("cost", spent)


def _line(name: str, text: str) -> Text:
    return Text.assemble(("  " + f"{name:<10}", "dim"), text)


def _accounts(accounts: tuple[AccountNow, ...]) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), border_style="dim")
    for name, right in (
        ("account", False),
        ("in flight", True),
        ("waiting", True),
        ("requests/min", True),
        ("tokens/min", True),
        ("state", False),
    ):
        grid.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for account in accounts:
        grid.add_row(
            Text(visible(account.provider)),
            Text(_in_flight(account)),
            Text(str(account.waiting)),
            Text(_used(account.requests_last_minute, account.requests_per_minute)),
            Text(_used(account.tokens_last_minute, account.tokens_per_minute)),
            _state(account),
        )
    return grid


def _models(models: tuple[ModelNow, ...]) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), border_style="dim")
    for name, right in (("model", False), ("breaker", False), ("failures", True), ("passed by", True)):
        grid.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for model in models:
        grid.add_row(
            Text(visible(model.model)),
            _breaker(model),
            Text(f"{count(model.failures)} in a row" if model.failures else ""),
            Text(f"{count(model.passed_by)} rows" if model.outages else ""),
        )
    return grid


def _breaker(model: ModelNow) -> Text:
    """Whether a model is asked, and when it will be again."""
    text = model.breaker
    if model.tried_in:
        text += f", tried in {duration(model.tried_in)}"
    return Text(text, style="green" if model.breaker == "closed" else "yellow")


def _in_flight(account: AccountNow) -> str:
    text = f"{account.in_flight} of {account.most_in_flight}"
    if account.adaptive:
        text += f" ({account.found_why or 'adaptive'})"
    if account.processes > 1 and account.in_flight_of_all is not None:
        text += f", {account.in_flight_of_all} in {account.processes} processes"
    return text


def _used(used: int | None, pace: float | None) -> str:
    """What was used of a pace in the last minute."""
    most = f"of {short_count(round(pace))}" if pace is not None else ""
    return " ".join(part for part in (short_count(used) if used is not None else "", most) if part)


def _state(account: AccountNow) -> Text:
    """Whether calls are let in, and what the first one in the queue waits for."""
    if account.closed_why is not None or account.closed_for is None or account.closed_for > 0:
        why = f": {visible(account.closed_why)}" if account.closed_why is not None else ""
        return Text(f"closed{_for(account.closed_for)}{why}", style="yellow")
    text = "open"
    if account.waiting and account.waits_for:
        text += f", waits{_for(account.waits_seconds)}: {visible(account.waits_for)}"
    if account.waves:
        text += f", {count(account.waves)} waves of 429"
    return Text(text, style="green")


def _for(seconds: float | None) -> str:
    return f" for {duration(seconds)}" if seconds is not None and 0 < seconds < float("inf") else ""
