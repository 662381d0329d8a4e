"""A team's ledger: serves one, brings a ledger's facts there, and a job's home."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Final

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import count
from tasks_lib.cli.places import nearby
from tasks_lib.cli.words import note, tell
from tasks_lib.configs import Environment, load_job
from tasks_lib.configs.ledger_tokens import READ_TOKEN, WRITE_TOKEN, ledger_tokens
from tasks_lib.domain.mistake import Mistake
from tasks_lib.ledger import LedgerInUse
from tasks_lib.ledger.team import (
    Carried,
    Place,
    QuackUri,
    Role,
    Tokens,
    Unreachable,
    checked,
    fetch,
    open_place,
    parse_address,
    parse_uri,
    publish_file,
)
from tasks_lib.ledger.team.server import team_server

_SWEPT_EVERY: Final = 600.0  # seconds


def serve_ledger(
    ledger: Path, *, listen: str, unencrypted: bool, token_file: Path | None, as_json: bool
) -> None:
    """Serve a ledger until a signal comes.

    Raises:
        Mistake: no token is given, another process has the ledger, or it cannot be served there.
    """
    tokens = _tokens(token_file)
    address = parse_address(listen)
    at = QuackUri(host=address.host, port=address.port, unencrypted=unencrypted or address.unencrypted)
    with _until_signalled() as ended, team_server(ledger, at=at, tokens=tokens) as server:
        if as_json:
            tell(json_text({"uri": server.uri, "ledger": str(ledger.absolute())}))
        else:
            tell(f"{nearby(ledger)} is served at {server.uri}; Ctrl-C ends that")
        while not ended.wait(_SWEPT_EVERY):
            server.sweep(now=datetime.now(UTC))
    note("no longer served; everything that was taken in is in the file")


def publish_ledger(
    ledger: Path,
    *,
    to: str,
    data_path: str | None,
    token_file: Path | None,
    every: float | None,
    as_json: bool,
) -> None:
    """Bring what a ledger has and a place lacks there; with `every`, again and again until a signal comes.

    Raises:
        Mistake: a batch has the ledger, or the place cannot be reached or refuses it.
    """
    at = parse_uri(to, data_path=data_path)
    token = ledger_tokens(Environment.from_os(), file=token_file).to_write
    if isinstance(at, QuackUri) and token is None:
        raise Mistake(f"to publish takes a writer's token: set {WRITE_TOKEN}, or give --token-file")
    with _until_signalled() if every is not None else nullcontext(Event()) as ended:
        while True:
            try:
                with _opened(open_place(at, token=token, make=True)) as place:
                    _tell(publish_file(ledger, place), as_json=as_json, word="published")
            except (Unreachable, LedgerInUse) as error:
                if every is None:
                    raise
                note(str(error))
            if every is None or ended.wait(every):
                return


def fetch_job(
    job: Path, *, ledger: Path | None, source: str | None, token_file: Path | None, as_json: bool
) -> None:
    """Bring what a place has of a job into the job's own ledger.

    Raises:
        Mistake: there is no such job there, or the place cannot be reached or refuses us.
    """
    loaded = load_job(job, missing_source="allowed")
    place_named = source or loaded.team_ledger
    if place_named is None:
        raise Mistake(f"from where? Give --from PLACE, or {nearby(job)} a team_ledger")
    token = ledger_tokens(Environment.from_os(), file=token_file).to_read
    with _opened(open_place(parse_uri(place_named), token=token, read_only=True)) as place:
        _tell(fetch(place, ledger or loaded.ledger, job=loaded.name), as_json=as_json, word="fetched")


def _tokens(file: Path | None) -> Tokens:
    found = ledger_tokens(Environment.from_os(), file=file)
    if not (found.read or found.write):
        raise Mistake(
            f"who may come in? Set {READ_TOKEN} (analysts) and {WRITE_TOKEN} (jobs that publish), or give "
            "--token-file; `openssl rand -hex 32` makes one"
        )
    return checked({Role.READ: found.read, Role.WRITE: found.write})


def _tell(carried: Carried, *, as_json: bool, word: str) -> None:
    if as_json:
        tell(
            json_text(
                {
                    "batches": carried.batches,
                    "task_runs": carried.task_runs,
                    "parcels": carried.parcels,
                    "left": carried.left,
                }
            )
        )
        return
    tell(f"{word}: {count(carried.task_runs)} task runs of {count(carried.batches)} batches that were new")
    for batch in carried.left:
        note(f"batch {batch} was left alone: there is more of it there than here")


@contextmanager
def _opened(place: Place) -> Iterator[Place]:
    try:
        yield place
    finally:
        place.close()


@contextmanager
def _until_signalled() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set; the second one ends the program, whatever it waits for."""
    ended = Event()

    def heed(number: int, _: object) -> None:
        ended.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
