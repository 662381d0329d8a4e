"""A file beside a ledger that says where the batch that writes to it can be reached.

`<ledger>.live` can be read by its owner alone, since it holds the token. It is written whole under another
name and then renamed, and is removed when the batch ends. One that a dead process has left does no harm: its
process is gone, or nobody answers at its port as the batch that it names.
"""

import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from socket import gethostname

import orjson
from pydantic import TypeAdapter, ValidationError

_LONGEST = 64 << 10  # bytes of a file that is a notice of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Where a batch can be reached, and what proves that one may."""

    batch_id: str
    pid: int
    host: str
    port: int  # on 127.0.0.1
    token: str
    quack: str | None = None  # a URI that any DuckDB client can attach
    quack_token: str | None = None

    def __repr__(self) -> str:
        return f"Notice(batch_id={self.batch_id!r}, pid={self.pid}, port={self.port})"  # without the tokens


_NOTICE = TypeAdapter(Notice)
_posted: dict[Path, list[Notice]] = {}
"""The notices of this process, latest last: of two batches on one ledger the later one is found."""
_posting = threading.Lock()


def notice_path(ledger: Path) -> Path:
    """Where the notice of a ledger is, by whatever name the ledger is called."""
    whole = ledger.resolve()
    return whole.with_name(whole.name + ".live")


def post(notice: Notice, *, ledger: Path) -> None:
    """Leave a notice beside a ledger.

    Raises:
        OSError: it cannot be written.
    """
    path = notice_path(ledger)
    with _posting:
        _write(path, notice)
        _posted.setdefault(path, []).append(notice)


def take_down(notice: Notice, *, ledger: Path) -> None:
    """Remove a notice, unless it is another process's by now; one that it hid comes back."""
    path = notice_path(ledger)
    with _posting, suppress(OSError):  # what cannot be removed is one more that is stale
        ours = _posted.get(path, [])
        ours.remove(notice)
        found = _read(path)
        if found is not None and found != notice:
            return
        if ours:
            _write(path, ours[-1])
        else:
            del _posted[path]
            path.unlink(missing_ok=True)


def notice_beside(ledger: Path) -> Notice | None:
    """The notice of a batch that may be running on this machine; None if there is none."""
    notice = _read(notice_path(ledger))
    if notice is None or notice.host != gethostname() or not _is_alive(notice.pid):
        return None
    return notice


def _write(path: Path, notice: Notice) -> None:
    aside = path.with_name(f"{path.name}.{token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(orjson.dumps(asdict(notice)))
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Notice | None:
    try:
        with path.open("rb") as file:
            return _NOTICE.validate_json(file.read(_LONGEST))
    except (OSError, ValidationError):
        return None


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, or one whose number is used again
        return True
    return True
