r"""What goes over the channel.

```
client                                     server
token \n                              -->
                                      <--  {"batch": id} \n
{"do": "pause"} \n                    -->
                                      <--  {"answer": ...} \n             or {"mistake": text} \n
{"do": "news", "runs": ["trun_1"]} \n -->    hosted runs to be looked at now
                                      <--  {"answer": null} \n
{"ask": "sql", "text": "from t"} \n   -->
                                      <--  {"table": name} \n, then {"bytes": n} \n and n bytes, again and
                                           again: together an Arrow IPC stream; maybe more tables
                                      <--  {"done": true} \n              or {"mistake": text} \n
```
A client that closes its end while it waits wants no answer any more.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Final

import orjson
import pyarrow as pa

from tasks_lib.domain.mistake import Mistake

TOKEN_BYTES = 256  # the longest first line
NEWS_AT_ONCE: Final = 1_000  # runs that one order names
REQUEST_BYTES = 4 << 20  # the longest line after it: some thousand rows' identities are 200 KB


def line(value: object) -> bytes:
    """A value as a line of JSON; decimals are text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n"


def remote_ids(told: object) -> tuple[str, ...]:
    """The hosted runs that an order names.

    Raises:
        Mistake: they are no list of ids, or too many.
    """
    if (
        not isinstance(told, list)
        or len(told) > NEWS_AT_ONCE
        or not all(isinstance(one, str) for one in told)
    ):
        raise Mistake(f"runs with news are a list of at most {NEWS_AT_ONCE} ids")
    return tuple(told)


def table_pieces(name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """A table as it goes over the channel, a batch of rows at a time."""
    yield line({"table": name})
    sink = BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: BytesIO) -> bytes:
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return line({"bytes": len(written)}) + written
