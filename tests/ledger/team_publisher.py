"""A process that publishes a ledger until all of it is there, or it is killed.

`python -m tests.ledger.team_publisher LEDGER PLACE [FILES SCHEMA]` says a line before each parcel, and `done`
at the end.
"""

import sys
from pathlib import Path

import pyarrow as pa

from tasks_lib.ledger.team import LakeUri, Place, open_place, parse_uri, publish_file
from tasks_lib.ledger.team.parcel import Parcel
from tests.ledger.team_server import WRITE


class Telling:
    """A place that says when it is about to take a parcel."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ask(self, text: str) -> pa.Table:
        return self._place.ask(text)

    def take(self, parcel: Parcel) -> None:
        print("parcel", flush=True)  # noqa: T201  # the test waits for it
        self._place.take(parcel)

    def make_view(self, name: str, body: str) -> None:
        self._place.make_view(name, body)

    def close(self) -> None:
        self._place.close()


if __name__ == "__main__":
    where = parse_uri(sys.argv[2])
    if isinstance(where, LakeUri):
        where = LakeUri(attach=where.attach, data_path=sys.argv[3], schema=sys.argv[4])
    publish_file(Path(sys.argv[1]), Telling(open_place(where, token=WRITE, make=True)))
    print("done", flush=True)  # noqa: T201  # as above
