"""Acts on the batch that runs on a ledger: pause, resume, cancel, limits."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import count
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import tell, visible
from tasks_lib.domain.mistake import Mistake
from tasks_lib.live import Client, Phase, Snapshot, connected

_NO_LIMIT = {"none", "null", "off", ""}


def pause_batch(ledger: Path, *, as_json: bool) -> None:
    """Let the batch begin no more calls.

    Raises:
        Mistake: no batch is running there.
    """
    now = _acted(ledger, Client.pause, as_json=as_json)
    if not as_json and now.phase is Phase.PAUSED:
        tell(
            f"{visible(now.job)} is paused at {_rows(now)}: no call is begun, those under way come to "
            "their end. `rowmill resume` lets it go on."
        )
    elif not as_json:
        tell(f"{visible(now.job)} is {now.phase.value} at {_rows(now)}.")


def resume_batch(ledger: Path, *, as_json: bool) -> None:
    """Let the batch begin calls again.

    Raises:
        Mistake: no batch is running there.
    """
    now = _acted(ledger, Client.resume, as_json=as_json)
    if not as_json:
        tell(f"{visible(now.job)} goes on from {_rows(now)}.")


def cancel_batch(ledger: Path, *, as_json: bool) -> None:
    """Let the batch come to an orderly end.

    Raises:
        Mistake: no batch is running there.
    """
    now = _acted(ledger, Client.cancel, as_json=as_json)
    if not as_json:
        tell(
            f"{visible(now.job)} ends at {_rows(now)}: no call is begun, those under way come to their end. "
            "Runs of hosted tasks go on there, since none of their APIs can cancel one. "
            "The same `rowmill run` takes up what is left, those runs among it."
        )


def show_limits(ledger: Path, changes: Iterable[str], *, as_json: bool) -> None:
    """Change limits of the batch that runs, each as NAME=VALUE, and print those in force.

    Raises:
        Mistake: no batch is running there, or there is no such limit or value; nothing is changed then.
    """
    wanted = dict(_change(text) for text in changes)
    with connected(ledger) as client:
        limits = client.limits(wanted)
    if as_json:
        tell(json_text(limits))
        return
    rows = [(name, "none" if value is None else value) for name, value in limits.items()]
    show_table(Table(columns=("limit", "value"), rows=rows))


def _acted(ledger: Path, act: Callable[[Client], Snapshot], *, as_json: bool) -> Snapshot:
    with connected(ledger) as client:
        now = act(client)
    if as_json:
        tell(json_text({**asdict(now), "phase": now.phase.value}))
    return now


def _rows(now: Snapshot) -> str:
    return f"{count(now.settled)} of {count(now.rows)} rows"


def _change(text: str) -> tuple[str, int | str | None]:
    """A limit's name, and its value: a whole number, an amount as text, or None for no limit."""
    name, equals, value = text.partition("=")
    name, value = name.strip().removeprefix("limits."), value.strip()
    if not (name and equals):
        raise Mistake(f"{text!r} is not of the form NAME=VALUE, such as in_flight=32 or max_cost=none")
    if value.lower() in _NO_LIMIT:
        return name, None
    return name, int(value) if value.isascii() and value.isdigit() else value
