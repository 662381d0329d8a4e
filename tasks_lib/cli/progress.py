"""How far a batch is: a live line for somebody who watches, a line now and then for a log.

The batch knows nothing of it; it is looked at from outside, through its tally.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tasks_lib.cli.figures import count, dollars, duration, percent, rate, short_count
from tasks_lib.cli.words import note
from tasks_lib.engine.stop import Stop
from tasks_lib.job.tally import Tally

LOOKED_AT = 0.25  # seconds between two looks of somebody who watches
LOGGED = 10.0  # seconds between two lines of a log
_LOOK_BACK = 20.0  # seconds over which speed is measured
_SHORTEST_BAR, _LONGEST_BAR = 8, 32


class Speed:
    """Rows a second over the last stretch of time, so that it follows what happens."""

    def __init__(self, *, over: float = _LOOK_BACK) -> None:
        """Look back so many seconds."""
        self._over = over
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now: float, done: int) -> float | None:
        """The speed with so many rows done now; None while nothing can be said."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._over:
            self._seen.popleft()
        began, before = self._seen[0]
        if now <= began or done == before:
            return None
        return (done - before) / (now - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a batch says, most important first; `done` and `rows` are 0 while nothing is known."""

    name: str
    done: int
    rows: int
    phase: str | None  # what the batch is about if it is not simply running
    counted: str = "rows"  # what `done` and `rows` count: runs, where revisions are compared
    figures: tuple[str, ...]

    @property
    def as_line(self) -> str:
        """All of it, for a log."""
        if not self.rows:
            return f"{self.name}: {self.phase}"
        parts = [f"{count(self.done)} of {count(self.rows)} {self.counted} ({percent(self.done, self.rows)})"]
        parts.extend(self.figures)
        if self.phase:
            parts.append(self.phase)
        return f"{self.name}: {', '.join(parts)}"


def look_at(name: str, tally: Tally, stop: Stop, *, per_second: float | None, elapsed: float) -> Look:
    """What can be said of a batch now."""
    figures: list[str] = []
    left = tally.rows - tally.settled
    if per_second is not None:
        figures.append(rate(per_second))
    if tally.failed:
        figures.append(f"{count(tally.failed)} failed")
    if per_second is not None and left and not stop.called:
        figures.append(f"{duration(left / per_second)} left")
    if tally.calls:
        unknown = " + unknown" if tally.calls_of_unknown_cost or tally.possible_cost > 0 else ""
        figures.append(f"{dollars(tally.cost)}{unknown}")
        figures.append(f"{short_count(tally.input_tokens + tally.output_tokens)} tokens")
    if tally.skipped:
        figures.append(f"{short_count(tally.skipped)} answered before")
    return Look(
        name=name,
        done=tally.settled,
        rows=tally.rows,
        counted=tally.counted,
        phase=_phase(tally, stop, elapsed=elapsed),
        figures=tuple(figures),
    )


def _phase(tally: Tally, stop: Stop, *, elapsed: float) -> str | None:
    if stop.called:
        return "finishing the calls under way"
    if not tally.rows:
        return f"preparing, {duration(elapsed)}"
    if tally.settled >= tally.rows:
        return "writing"
    if not tally.calls:
        return f"waiting for the first answer, {duration(elapsed)}"
    return None


Show = Callable[[Look], None]


async def keep_showing(show: Show, name: str, tally: Tally, stop: Stop, *, every: float) -> None:
    """Look at a batch every so many seconds, until cancelled."""
    speed, began = Speed(), anyio.current_time()
    while True:
        await anyio.sleep(every)
        now = anyio.current_time()
        per_second = speed.at(now, tally.completed + tally.failed)
        show(look_at(name, tally, stop, per_second=per_second, elapsed=now - began))


def log_line(look: Look) -> None:
    """Show a look as a line of a log."""
    note(look.as_line)


def somebody_watches() -> bool:
    """Whether standard error is a terminal that can draw a line again."""
    console = Console(stderr=True)
    # FORCE_COLOR makes rich take a file for a terminal; a log with a line for each look is no use to anybody
    return console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()


@contextmanager
def live_line() -> Iterator[Show]:
    """A line at the bottom of the terminal that is drawn anew for each look, and is gone afterwards.

    What is written to standard error meanwhile appears above it.
    """
    console = Console(stderr=True, highlight=False, emoji=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)

    def show(look: Look) -> None:
        line = Text(no_wrap=True, overflow="ellipsis")
        for text, style in drawn(look, room=console.width - 1):
            line.append(text, style=style)
        # A terminal that was closed is no reason to end the batch.
        with suppress(OSError):
            live.update(line, refresh=True)

    with live:
        yield show


def drawn(look: Look, *, room: int) -> Iterator[tuple[str, str]]:
    """Pieces of a line and their styles: as many figures as there is room for, and a bar in what is left."""
    if not look.rows:
        yield f"{look.name}  {look.phase}", ""
        return
    texts = [
        look.name,
        f"{count(look.done)}/{count(look.rows)}{' runs' if look.counted == 'runs' else ''}",
        *([look.phase] if look.phase else []),
    ]
    texts.extend(look.figures)
    while len(texts) > 2 and len("  ".join(texts)) > room:
        texts.pop()
    bar = min(room - len("  ".join(texts)) - 2, _LONGEST_BAR)
    bar -= bar % 4  # else it would shrink and grow with each digit beside it
    yield texts[0] + "  ", ""
    if bar >= _SHORTEST_BAR:
        full = bar * look.done // look.rows
        yield "━" * full, "green"
        yield "━" * (bar - full) + "  ", "dim"
    for place, text in enumerate(texts[1:]):
        style = "red" if text.endswith(" failed") else "bold" if place == 0 else ""
        yield ("  " if place else "") + text, style
