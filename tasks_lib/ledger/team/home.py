"""A ledger's own file as a place: what others published comes home."""

import duckdb
import pyarrow as pa

from tasks_lib.ledger.errors import told
from tasks_lib.ledger.ledger import Ledger
from tasks_lib.ledger.team.origin import making_view
from tasks_lib.ledger.team.parcel import MOVED_ON, Parcel
from tasks_lib.ledger.team.place import MovedOn, take_into


class HomePlace:
    """A ledger that is open for writing."""

    def __init__(self, ledger: Ledger) -> None:
        """Take into this one."""
        self._ledger = ledger

    def ask(self, text: str) -> pa.Table:
        """See `Place.ask`."""
        with told(self._ledger.path):
            return self._ledger.cursor().execute(text).to_arrow_table()

    def take(self, parcel: Parcel) -> None:
        """See `Place.take`."""
        with told(self._ledger.path), self._ledger._transaction() as connection:  # noqa: SLF001 - of this room
            try:
                take_into(connection, parcel)
            except duckdb.Error as error:
                if MOVED_ON in str(error):
                    raise MovedOn(f"{self._ledger.path}: {MOVED_ON}") from error
                raise

    def make_view(self, name: str, body: str) -> None:
        """See `Place.make_view`."""
        with told(self._ledger.path), self._ledger._transaction() as connection:  # noqa: SLF001 - of this room
            connection.execute(making_view(name, body))

    def close(self) -> None:
        """Whoever opened the ledger closes it."""
