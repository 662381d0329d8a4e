"""Settings by base URL, and what a test asks of a task server beside its API: counts and settings."""

from dataclasses import dataclass
from typing import Generic, Literal

import orjson

from tests.llmserver.accounts import Account
from tests.llmserver.faults import pairs_of
from tests.rightbrainserver.tally import TaskCounts
from tests.rightbrainserver.told import Chance, Own, Told
from tests.rightbrainserver.wire import Reply, Request, said


@dataclass(slots=True)
class Customer(Generic[Own]):
    """One key at one base URL: its settings, what it has used of its limits, and its luck."""

    told: Told[Own]
    account: Account
    chance: Chance

    def befalls(self, what: str, marker: str, attempt: int, probability: float) -> bool:
        """Whether a misfortune of this probability befalls an attempt."""
        is_meant = self.told.own.include(marker, attempt)
        return is_meant and self.chance.fraction(what, marker, attempt) < probability


class Control(Generic[Own]):
    """The settings and counts of a server; what is in flight at a reset goes on counting in the old ones."""

    def __init__(self, told: Told[Own]) -> None:
        self.counts = TaskCounts()
        self.told = told
        self._start = told
        self._customers: dict[tuple[str, str], Customer[Own]] = {}

    def customer(self, request: Request, key: str) -> Customer[Own]:
        """Who asks.

        Raises:
            ValueError: The base URL says settings that are none.
        """
        who = (request.settings, key)
        known = self._customers.get(who)
        if known is None:
            known = self._customers[who] = _customer(self.told.changed(pairs_of(request.settings)))
        return known

    def aside(self, request: Request) -> Reply | None:
        """The answer to a question about counts and settings, or None if it is none."""
        match request.path:
            case "/health":
                return said(200, {"ok": True})
            case "/stats":
                return said(200, self.counts.report())
            case "/stats/rows":
                return self._rows(request.query.get("only", ""))
            case "/stats/persec":
                lines = (f"{second},{n}\n" for second, n in sorted(self.counts.per_second().items()))
                return Reply(200, f"second,arrivals\n{''.join(lines)}".encode(), "text/csv")
            case "/stats/window":
                most, since = self.counts.busiest(float(request.query.get("seconds", "60")))
                return said(200, {"arrivals": most, "since_first_s": since})
            case "/stats/reset":
                self.counts = TaskCounts()
                for customer in self._customers.values():
                    customer.account.forget()
                return said(200, {"reset": True})
            case "/config":
                return self._changed(dict(request.query))
        return None

    def _rows(self, asked: str) -> Reply:
        only: Literal["", "dup", "lost"] = "dup" if asked == "dup" else "lost" if asked == "lost" else ""
        lines = (f"{_quoted(marker)},{a},{b},{c}\n" for marker, a, b, c in self.counts.listed(only))
        return Reply(200, f"row_id,received,started,ok\n{''.join(lines)}".encode(), "text/csv")

    def _changed(self, pairs: dict[str, str]) -> Reply:
        begin = self._start if pairs.pop("clear", "") else self.told
        try:
            self.told = begin.changed(pairs)
        except ValueError as wrong:
            return said(400, {"error": {"message": str(wrong)}})
        for who, known in tuple(self._customers.items()):
            try:
                self._customers[who] = _customer(self.told.changed(pairs_of(who[0])), known.account)
            except ValueError:  # with the new settings it makes no sense: told to whoever uses it next
                del self._customers[who]
        return Reply(200, orjson.dumps(self.told.listed()))


def _customer(told: Told[Own], known: Account | None = None) -> Customer[Own]:
    account = known or Account(told.faults)
    account.change(told.faults)
    return Customer(told, account, Chance(told.faults))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
