"""What a flow run shows beside its states: progress while it runs, tables when it is over.

An artifact that cannot be written is a line in the run's log and nothing more.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
from prefect import get_run_logger
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from flows.costs import BatchTables, Table
from flows.pages import shown
from flows.server import own_server_has_ended
from flows.words import dollars, told
from tasks_lib.job.tally import Summary, Tally

EVERY: Final = 5.0  # seconds between two looks at the tally
_PATIENCE: Final = 10.0  # seconds for one artifact

_Made = TypeVar("_Made")


@asynccontextmanager
async def progress_shown(
    job: str, tally: Tally, *, look: Callable[[], None], every: float = EVERY
) -> AsyncIterator[None]:
    """A progress artifact that follows the tally while the body runs, and is right at its end.

    `look` is called beside it, as often.
    """
    artifact = await _unless_it_fails(
        lambda: acreate_progress_artifact(
            0.0, key=key_of(job, "progress"), description=f"Job {job} has begun"
        )
    )

    async def show() -> None:
        look()
        if artifact is None:
            return
        await _unless_it_fails(
            lambda: aupdate_progress_artifact(artifact, _percent(tally), description=_line(tally))
        )

    async def follow() -> None:
        while True:
            await anyio.sleep(every)
            await show()

    follower = asyncio.create_task(follow())  # in a task group the body's errors would come out as a group
    try:
        yield
    finally:
        follower.cancel()
        with anyio.CancelScope(shield=True):  # the last word, even of a run that is cut short
            await asyncio.wait([follower], timeout=_PATIENCE)  # who heeds no cancelling holds up nobody
            await show()


async def show_end(summary: Summary, *, tables: BatchTables) -> None:
    """The closing artifacts of a batch.

    Its counts, which add up; which rows were new or changed; what it cost by reporting group and by revision.
    """
    ended = await show_table(
        counts_of(summary),
        key=key_of(summary.job, "rows"),
        description=f"The rows of {summary.job}: {told(summary)}",
    )
    if not ended:  # a server that is gone is not asked again and again
        return
    await _unless_it_fails(
        lambda: acreate_markdown_artifact(
            markdown_of(summary, tables.grown), key=key_of(summary.job, "summary"), description=told(summary)
        )
    )
    for name, table, title in (
        ("grown", tables.grown, "Which rows were asked, and for what"),
        ("costs", tables.groups, "Cost by reporting group"),
        ("revisions", tables.revisions, "What each revision got, and what came of it"),
    ):
        if table:
            await show_table(table, key=key_of(summary.job, name), description=f"{title}: {summary.job}")


async def show_table(table: Table, *, key: str, description: str) -> bool:
    """A table artifact, with money and times as text; gives whether it was written."""
    rows = [{name: shown(value) for name, value in row.items()} for row in table]
    made = await _unless_it_fails(lambda: acreate_table_artifact(rows, key=key, description=description))
    return made is not None


def counts_of(summary: Summary) -> Table:
    """The counts of a batch, one a row; those before the last add up to it."""
    return [
        {"rows": "answered", "count": summary.completed},
        {"rows": "failed", "count": summary.failed},
        {"rows": "left as they were", "count": summary.skipped},
        {"rows": "not asked", "count": summary.cancelled},
        {"rows": "all", "count": summary.rows},
    ]


def markdown_of(summary: Summary, grown: Table = ()) -> str:
    """A batch in a few lines, with where to look further."""
    unknown = summary.calls_of_unknown_cost
    lines = [
        f"# {_escaped(summary.job)}: {_escaped(told(summary))}",
        "",
        f"- asked: {asked_of(summary, grown)}; {summary.skipped:,} left as they were",
        f"- calls: {summary.calls:,}, in {summary.seconds:,.1f} s",
        f"- tokens: {summary.input_tokens:,} in, {summary.output_tokens:,} out",
        f"- cost: {dollars(summary.cost)}"
        + (f", and perhaps {dollars(summary.possible_cost)} more" if summary.possible_cost else "")
        + (f", and {unknown:,} calls of unknown cost" if unknown else ""),
        f"- batch: `{summary.batch_id}`",
        f"- ledger: `{summary.ledger}`",
    ]
    if summary.output is not None:
        lines.append(f"- output: `{summary.output}`")
    others = [key_of(summary.job, name) for name in ("rows", "grown", "costs", "revisions", "progress")]
    lines.append(f"- artifacts of this run: {', '.join(f'`{key}`' for key in others)}")
    return "\n".join(lines) + "\n"


def asked_of(summary: Summary, grown: Table) -> str:
    """Which rows a batch asked, in words: `3 new, 1 changed`; only how many where the table is not known."""
    told = ", ".join(f"{row['count']:,} {row['rows']}" for row in grown if row["count"])
    asked = summary.completed + summary.failed
    return told or (f"{asked:,} {summary.counted}" if asked else "nothing")


def key_of(*parts: str) -> str:
    """An artifact's key: lower case letters, digits and dashes are all that Prefect takes."""
    return "-".join(
        re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") or "x" for part in ("rowmill", *parts)
    )


def _percent(tally: Tally) -> float:
    return 100.0 * tally.settled / tally.rows if tally.rows else 0.0


def _line(tally: Tally) -> str:
    return (
        f"{tally.settled:,} of {tally.rows:,} {tally.counted}; {tally.failed:,} failed; "
        f"{tally.input_tokens + tally.output_tokens:,} tokens; {dollars(tally.cost)}"
    )


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)


async def _unless_it_fails(act: Callable[[], Awaitable[_Made]]) -> _Made | None:
    if own_server_has_ended():
        return None
    try:
        with anyio.fail_after(_PATIENCE):
            return await act()
    except Exception as trouble:  # noqa: BLE001  # whatever it is, it is not worth a run that is paid for
        get_run_logger().warning("An artifact was not written: %r", trouble)
        return None
