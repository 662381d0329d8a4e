"""The other end of a running batch's channel."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import orjson
import pyarrow as pa
from pydantic import TypeAdapter

from tasks_lib.domain.mistake import Mistake
from tasks_lib.live.notice import Notice, notice_beside
from tasks_lib.live.snapshot import Snapshot
from tasks_lib.live.wire import NEWS_AT_ONCE, line

_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 30.0  # a batch that is busy with its rows answers in between
_ANSWER_SECONDS = 600.0  # the batch ends a question long before
_SNAPSHOT = TypeAdapter(Snapshot)


class NothingRunning(Mistake):
    """No batch is running on a ledger, as far as can be found out."""


class Client:
    """A connection to a batch that runs in another process."""

    def __init__(self, connection: socket.socket, notice: Notice) -> None:
        """See `reach`."""
        self.notice = notice
        self._connection = connection
        self._incoming = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what was asked and is not answered yet is given up."""
        with suppress(OSError):  # all was said already
            self._incoming.close()
            self._connection.close()

    def snapshot(self) -> Snapshot:
        """The batch at this moment.

        Raises:
            NothingRunning: it ended meanwhile.
        """
        return _SNAPSHOT.validate_python(self._do({"do": "snapshot"}))

    def pause(self) -> Snapshot:
        """Let it begin no more calls.

        Raises:
            Mistake: it cannot be had.
        """
        return _SNAPSHOT.validate_python(self._do({"do": "pause"}))

    def resume(self) -> Snapshot:
        """Let it begin calls again.

        Raises:
            Mistake: it cannot be had.
        """
        return _SNAPSHOT.validate_python(self._do({"do": "resume"}))

    def cancel(self) -> Snapshot:
        """Let it come to an orderly end.

        Raises:
            Mistake: it cannot be had.
        """
        return _SNAPSHOT.validate_python(self._do({"do": "cancel"}))

    def limits(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The limits in force, after some were changed.

        Raises:
            Mistake: there is no such limit, or it cannot have that value.
        """
        return cast("dict[str, Any]", self._do({"do": "limits", "changes": dict(changes or {})}))

    def news(self, remote_ids: Sequence[str]) -> None:
        """Tell it to look at these hosted runs now; those that it does not wait for are ignored.

        Raises:
            Mistake: it is of a version that knows no news, or is busy.
            NothingRunning: it ended meanwhile.
        """
        for first in range(0, len(remote_ids), NEWS_AT_ONCE):
            self._do({"do": "news", "runs": remote_ids[first : first + NEWS_AT_ONCE]})

    def ask(self, question: Mapping[str, Any]) -> dict[str, pa.Table]:
        """The answer to a question about the ledger: tables by name.

        Raises:
            Mistake: it cannot be answered; why is in the batch's own words.
        """
        self._say(question, seconds=_ANSWER_SECONDS)
        streams: dict[str, BytesIO] = {}
        name = ""
        while True:
            match self._heard():
                case {"table": str(name)}:
                    streams[name] = BytesIO()
                case {"bytes": int(size)}:
                    streams[name].write(self._bytes(size))
                case {"done": True}:
                    break
        return {name: _table(stream) for name, stream in streams.items()}

    def _do(self, request: Mapping[str, Any]) -> object:
        self._say(request, seconds=_COMMAND_SECONDS)
        return self._heard().get("answer")

    def _say(self, request: Mapping[str, Any], *, seconds: float) -> None:
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(line(request))
        except OSError as error:
            raise self._broken(error) from error

    def _heard(self) -> dict[str, Any]:
        """The next line.

        Raises:
            Mistake: it says that something is wrong, or there is none.
        """
        try:
            text = self._incoming.readline()
        except OSError as error:
            raise self._broken(error) from error
        if not text.endswith(b"\n"):
            raise NothingRunning("the batch has ended.")
        said: dict[str, Any] = orjson.loads(text)
        if "mistake" in said:
            raise Mistake(said["mistake"])
        return said

    def _bytes(self, size: int) -> bytes:
        try:
            found = self._incoming.read(size)
        except OSError as error:
            raise self._broken(error) from error
        if len(found) < size:
            raise NothingRunning("the batch ended before it had answered. Ask again.")
        return found

    def _broken(self, error: OSError) -> Mistake:
        if isinstance(error, TimeoutError):
            return Mistake(f"the batch in process {self.notice.pid} does not answer.")
        return NothingRunning("the batch has ended.")


def _table(stream: BytesIO) -> pa.Table:
    stream.seek(0)
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_all()


def reach(ledger: Path) -> Client | None:
    """A connection to the batch that runs on a ledger, on this machine and as this user; None: there is none.

    A notice that a dead process has left counts as none: nobody answers at its port, or somebody else does.
    """
    notice = notice_beside(ledger)
    if notice is None:
        return None
    try:
        connection = socket.create_connection(("127.0.0.1", notice.port), timeout=_CONNECT_SECONDS)
    except OSError:
        return None
    client = Client(connection, notice)
    try:
        connection.sendall(notice.token.encode() + b"\n")
        if client._heard().get("batch") == notice.batch_id:  # noqa: SLF001 - we are its maker
            return client
    except (OSError, Mistake, orjson.JSONDecodeError):
        pass
    client.close()
    return None


@contextmanager
def connected(ledger: Path) -> Iterator[Client]:
    """A connection to the batch that runs on a ledger.

    Raises:
        NothingRunning: there is none.
    """
    client = reach(ledger)
    if client is None:
        raise NothingRunning(f"no batch is running on {ledger}; `rowmill status` shows the last ones.")
    with client:
        yield client
