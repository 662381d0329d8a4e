"""A DuckDB database of our own, in memory, which spills to disk instead of growing."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory

import duckdb


@contextmanager
def open_scratch(*, memory: str, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that takes about this much memory, such as "256MB", and spills to a temporary folder."""
    with TemporaryDirectory(prefix="rowmill-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "temp_directory": folder,
            "autoinstall_known_extensions": "false",  # without a network the attempt stalls for seconds
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "true",
        }
        if threads is not None:
            settings["threads"] = threads  # each takes its share of the memory
        with closing(duckdb.connect(":memory:", config=settings)) as connection:
            connection.execute("set enable_progress_bar = false")
            yield connection
