"""A batch that tells a team's ledger what it has, while it runs and when it ends.

The batch's own ledger is the truth. A place that is away, slow or full holds nothing up: what it lacks is
brought later, by this batch, the next one, or `rowmill ledger publish`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Final

from anyio import to_thread

from tasks_lib.configs import Environment
from tasks_lib.configs.ledger_tokens import WRITE_TOKEN, ledger_tokens
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import Ledger, LedgerError
from tasks_lib.ledger.team import Place, QuackUri, open_place, parse_uri, publish

_EVERY: Final = 2.0  # seconds between two looks
_LONGEST_PAUSE: Final = 60.0
_PATIENCE, _LAST_PATIENCE = 30.0, 5.0  # seconds without a parcel taken in
_SHARE: Final = 10  # times as long as bringing took is waited at least


@contextmanager
def telling_the_team(
    ledger: Ledger, *, team: str | None, environment: Environment, every: float = _EVERY
) -> Iterator["Team"]:
    """Publish what an open ledger has for as long as this is open.

    Args:
        ledger: of the batch.
        team: where to; None: nowhere.
        environment: has the token.
        every: seconds between two looks.

    Raises:
        LedgerError: this means no place, or there is no token for it; said before anything is paid.
    """
    told = Team(None if team is None else _Teller(ledger, team=team, environment=environment, every=every))
    try:
        yield told
    finally:
        told.drop()


class Team:
    """Who is told what a batch has."""

    def __init__(self, teller: "_Teller | None") -> None:
        """Begin to tell; None: nobody is told anything."""
        self._teller = teller
        if teller is not None:
            teller.start()

    async def told(self, summary: Summary) -> Summary:
        """The summary of a batch that has ended, once the team knows all of it or cannot be told."""
        teller = self._teller
        if teller is None:
            return summary
        await to_thread.run_sync(teller.end)
        if teller.failed is None:
            return summary
        warning = (
            f"not all of this is in the team's ledger ({teller.failed}). It is safe here; "
            "`rowmill ledger publish` or the next run brings the rest"
        )
        return replace(summary, warnings=(*summary.warnings, warning))

    def drop(self) -> None:
        """Tell no more than the parcel under way."""
        if self._teller is not None:
            self._teller.drop()


class _Teller:
    """Publishes in a thread of its own."""

    def __init__(self, ledger: Ledger, *, team: str, environment: Environment, every: float) -> None:
        self._ledger = ledger
        self._at = parse_uri(team)
        self._token = ledger_tokens(environment).to_write
        if isinstance(self._at, QuackUri) and self._token is None:
            raise LedgerError(f"the job's team_ledger wants a writer's token: set {WRITE_TOKEN}.")
        self._every = every
        self._ending = threading.Event()
        self._place: Place | None = None
        self.failed: str | None = None  # why the last look brought nothing; None: it went well

        self._dropped = threading.Event()
        self._moved_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="team's ledger", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Look once more, and end."""
        self._ending.set()
        self._wait(_PATIENCE)

    def drop(self) -> None:
        """End after the parcel under way."""
        self._dropped.set()
        self._ending.set()
        self._wait(_LAST_PATIENCE)

    def _wait(self, patience: float) -> None:
        """Wait until the thread has ended, or nothing was taken in for so long.

        Quack waits for ever for a place that says nothing, and cannot be interrupted (1.5.5): such a thread
        is left behind, and ends with the process.
        """
        self._moved_at = monotonic()
        while self._thread.is_alive():
            self._thread.join(0.2)
            if self._thread.is_alive() and monotonic() - self._moved_at > patience:
                self.failed = "the place says nothing"
                return

    def _stopped(self) -> bool:
        """Asked before each batch and after each parcel."""
        self._moved_at = monotonic()
        return self._dropped.is_set()

    def _run(self) -> None:
        pause = self._every
        while True:
            ended = self._ending.wait(pause)
            if self._dropped.is_set():
                break
            began = monotonic()
            self._publish()
            took = monotonic() - began
            if ended:
                break
            pause = max(self._every, _SHARE * took) if self.failed is None else 2 * pause
            pause = min(pause, _LONGEST_PAUSE)
        self._let_go()

    def _publish(self) -> None:
        try:
            if self._place is None:
                self._place = open_place(self._at, token=self._token, make=True)
            publish(self._ledger, self._place, stopped=self._stopped)
        except LedgerError as error:  # away, or it refuses us: who looks after the place may mend that
            self.failed = str(error)
            self._let_go()
        except Exception as error:  # noqa: BLE001 - a batch is not lost for want of company
            self.failed = f"{type(error).__name__}: {error}"
            self._let_go()
        else:
            self.failed = None

    def _let_go(self) -> None:
        if self._place is not None:
            self._place.close()
            self._place = None
