"""Who answers what: completions, the counts, the settings."""

from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

import orjson

from tests.llmserver import answers
from tests.llmserver.accounts import Account
from tests.llmserver.counts import Counts
from tests.llmserver.exchange import Exchange
from tests.llmserver.faults import Settings, pairs_of
from tests.llmserver.heads import head
from tests.llmserver.protocol import Connection, Request

_MODELS: Final = (
    b'{"object":"list","data":[{"id":"pretend","object":"model","created":1,"owned_by":"rowmill"}]}'
)


class Aside(NamedTuple):
    """An answer that is no completion. Nobody asks what became of it."""

    status: int
    body: bytes
    kind: str = "application/json"

    def delivered(self) -> None:
        """It got there."""

    def lost(self) -> None:
        """It did not."""


class Service:
    """All accounts, the counts, and the answer to every request."""

    def __init__(self, settings: Settings) -> None:
        self.counts = Counts()
        self._start = self._settings = settings
        self._accounts: dict[tuple[str, str], Account] = {}
        self._number = 0

    def answer(self, connection: Connection, request: Request) -> None:
        """Answer a request, now or later."""
        path, _, query = request.target.partition("?")
        prefix = ""
        if path.startswith("/c/"):
            prefix, _, path = path[3:].partition("/")
            path = f"/{path}"
        if not path.endswith(answers.SPOKEN):
            _say(connection, self._aside(path, dict(parse_qsl(query, keep_blank_values=True))))
            return
        if request.method != "POST":
            _say(connection, self._unfit(405, "Only POST is spoken here."))
            return
        try:
            account = self._account(prefix, request.authorization)
        except ValueError as wrong:
            _say(connection, self._unfit(400, f"In the base URL: {wrong}."))
            return
        self._number += 1
        Exchange(connection, account, self.counts, self._number, path).begin(request)

    def _account(self, prefix: str, key: str) -> Account:
        account = self._accounts.get((prefix, key))
        if account is None:
            account = self._accounts[prefix, key] = Account(self._settings.changed(pairs_of(unquote(prefix))))
        return account

    def _unfit(self, status: int, reason: str) -> Aside:
        self.counts.by_outcome[str(status)] += 1
        self.counts.by_status[status] += 1
        return Aside(status, answers.error(status, reason))

    def _aside(self, path: str, asked: dict[str, str]) -> Aside:
        match path:
            case "/health":
                return Aside(200, b'{"ok":true}')
            case "/v1/models":
                return Aside(200, _MODELS)
            case "/stats":
                return Aside(200, orjson.dumps(self.counts.report()))
            case "/stats/rows":
                return self._rows(asked.get("only", ""))
            case "/stats/persec":
                lines = (f"{second},{n}\n" for second, n in sorted(self.counts.per_second().items()))
                return Aside(200, f"second,arrivals\n{''.join(lines)}".encode(), "text/csv")
            case "/stats/window":
                return self._window(asked.get("seconds", "60"))
            case "/stats/reset":
                return self._reset()
            case "/config":
                return self._change(asked)
        return self._unfit(404, "Nothing answers here.")

    def _rows(self, only: str) -> Aside:
        chosen: Literal["", "dup", "lost"]
        match only:
            case "" | "dup" | "lost":
                chosen = only
            case _:
                return Aside(400, answers.error(400, "only is dup or lost."))
        lines = (f"{_quoted(row_id)},{a},{b},{c}\n" for row_id, a, b, c in self.counts.listed(chosen))
        return Aside(200, f"row_id,received,billed,ok\n{''.join(lines)}".encode(), "text/csv")

    def _window(self, told: str) -> Aside:
        try:
            seconds = float(told)
        except ValueError:
            seconds = 0.0
        if not seconds > 0:
            return Aside(400, answers.error(400, "seconds is a number above 0."))
        most, since = self.counts.busiest(seconds)
        return Aside(200, orjson.dumps({"seconds": seconds, "arrivals": most, "since_first_s": since}))

    def _reset(self) -> Aside:
        self.counts = Counts()  # what is still in flight goes on counting in the old ones, which nobody reads
        for account in self._accounts.values():
            account.forget()
        return Aside(200, b'{"reset":true}')

    def _change(self, pairs: dict[str, str]) -> Aside:
        begin = self._start if pairs.pop("clear", "") else self._settings
        try:
            settings = begin.changed(pairs)
        except ValueError as wrong:
            return Aside(400, answers.error(400, str(wrong)))
        self._settings = settings
        for (prefix, key), account in tuple(self._accounts.items()):
            try:
                account.change(settings.changed(pairs_of(unquote(prefix))))
            except (
                ValueError
            ):  # together with the new settings it makes no sense: told to whoever uses it next
                del self._accounts[prefix, key]
        return Aside(200, orjson.dumps(settings))


def _say(connection: Connection, aside: Aside) -> None:
    connection.send(head(aside.status, len(aside.body), kind=aside.kind) + aside.body, aside)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
