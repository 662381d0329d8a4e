"""A process that writes to a ledger until it is killed or the disk is full, and tells what is durable.

`python -m tests.ledger.child LEDGER` prints "batch ID", then after each commit the number of durable runs of
this process; at an error of the ledger's "error: " and the message.
"""

import sys
from pathlib import Path
from uuid import uuid4

import anyio

from tasks_lib.ledger import Ledger, LedgerError, LedgerWriter, open_ledger, open_writer
from tests.ledger.builders import answered, begin, plan, refused, run

_WORKERS = 40


async def write(ledger: Ledger, batch: str) -> None:
    durable = 0

    def tell(count: int) -> None:
        nonlocal durable
        durable += count
        print(durable, flush=True)  # noqa: T201 - the parent reads it

    async def work(writer: LedgerWriter) -> None:
        while True:
            text = " ".join(str(uuid4()) for _ in range(20))
            asked = plan(key=str(uuid4()), text=text, group=text[:1])
            await writer.add(run(asked, refused(), answered({"sentiment": text})))

    async with (
        open_writer(ledger, batch_id=batch, on_commit=tell, group_rows=lambda: 20) as writer,
        anyio.create_task_group() as workers,
    ):
        for _ in range(_WORKERS):
            workers.start_soon(work, writer)


def main(path: Path) -> None:
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        print("batch", batch, flush=True)  # noqa: T201 - as above
        try:
            anyio.run(write, ledger, batch)
        except LedgerError as error:
            print("error:", error, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main(Path(sys.argv[1]))
