"""A file of a web server, fetched whole.

By the standard library: it knows proxies and certificates from the environment, and writes no log, into which
the query of a presigned address would go.
"""

import shutil
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tasks_lib.domain.place import Address, is_loopback
from tasks_lib.rows.errors import SourceError

_PATIENCE: Final = 60.0  # seconds without a byte
_TRIES: Final = 3
_BLOCK: Final = 1 << 20


def fetch_web_file(address: Address, to: Path) -> str:
    """Copy it into a file, and give what the server says of its version; empty if it says nothing.

    Raises:
        SourceError: it cannot be had.
    """
    if address.scheme == "http" and not is_loopback(address):
        raise SourceError(f"{address}: is read over http, as anybody may do; say https://")
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            return _fetched(address, to)
        except HTTPError as error:
            error.close()  # it holds the connection
            if last or error.code < 500:
                raise SourceError(f"{address}: the server says {error.code} {error.reason}") from None
        except (URLError, HTTPException, OSError) as error:
            if last:
                reason = error.reason if isinstance(error, URLError) else error
                raise SourceError(f"{address}: cannot be fetched: {reason}") from None
    raise AssertionError  # the last try has ended it


def _fetched(address: Address, to: Path) -> str:
    request = Request(address.url, headers={"Accept-Encoding": "identity"})  # noqa: S310  https, or our own machine
    with build_opener(_Onward()).open(request, timeout=_PATIENCE) as response, to.open("wb") as file:
        shutil.copyfileobj(response, file, _BLOCK)
        size = response.headers.get("Content-Length")
        if size is not None and int(size) != file.tell():
            raise OSError(f"{file.tell():,} bytes of {int(size):,} arrived")
        headers: HTTPMessage = response.headers
    return headers.get("ETag") or headers.get("Last-Modified") or ""


class _Onward(HTTPRedirectHandler):
    """Follows a server to another address, but not out of https."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        onward = urljoin(req.full_url, newurl)
        if req.type == "https" and not onward.startswith("https://"):
            raise URLError("the server sends us on to http, where anybody may read along")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
