"""From an answer to the file that it is: made if need be, looked at, stored before its run is recorded."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol, cast

import anyio
from anyio import to_thread

from tasks_lib.domain.csv_text import csv_text
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import FileFact
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Answer, Media, Modality
from tasks_lib.domain.plan import Plan
from tasks_lib.outputs.mime import (
    CSV,
    PDF,
    is_kept,
    is_whole,
    mime_of,
    mime_of_file_type,
    suffix_of,
)
from tasks_lib.outputs.store import FilesError, fact_of

_THREADS: Final = 2 * (os.cpu_count() or 1)  # of our own: commits wait for none of them
_KIND: Final = {
    Modality.IMAGE: ("image/", "picture"),
    Modality.AUDIO: ("audio/", "recording"),
    Modality.PDF: (PDF, "document"),  # that came as one; what comes as words is set as pages
}
_SHOWN: Final = 200  # characters of what came instead of a file
_OGG: Final = {"audio/ogg", "audio/opus"}


class Shelf(Protocol):
    """Where files stay: a `FileStore`, or what stands for one in another process."""

    def put(self, content: bytes, *, task_run_id: str, mime_type: str) -> FileFact:
        """Keep the file that a task run has made; when this returns, no loss of power can take it away.

        Raises:
            FilesError: there is no room, or no right to write.
        """
        ...


class Keeper:
    """Makes the files that answers are, and puts them where they stay."""

    def __init__(self, store: Shelf | None, *, title: str, stop: Callable[[str], None]) -> None:
        """Keep files in a store; without one they go back to the caller with their bytes.

        Args:
            store: where they are kept.
            title: of documents that are set here.
            stop: is told why when nothing more can be kept, and lets the batch come to its end.
        """
        self._store = store
        self._title = title
        self._stop = stop
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def keep(self, plan: Plan, answer: Answer) -> Answer | Failure:
        """The answer with its file, which no loss of power takes away, or why it has none."""
        try:
            return await to_thread.run_sync(self._kept, plan, answer, limiter=self._threads)
        except FilesError as error:
            self._stop(str(error))  # the row is asked again by the next run; what it cost is in the ledger
            return Failure(
                kind=FailureKind.CANCELLED,
                message=f"the answer came and could not be kept: {error}",
                text=answer.value if isinstance(answer.value, str) else None,
            )

    def _kept(self, plan: Plan, answer: Answer) -> Answer | Failure:
        made = self._made(plan, answer)
        if isinstance(made, Failure):
            return made
        content, mime_type, warnings = made
        warnings = (*answer.warnings, *warnings)
        if self._store is None:
            media = Media(content=content, mime_type=mime_type)
            fact = fact_of(content, task_run_id=plan.task_run_id, mime_type=mime_type, folder="")
            file = None
        else:
            media = None
            file = fact = self._store.put(content, task_run_id=plan.task_run_id, mime_type=mime_type)
        value = answer.value if plan.output.modality is Modality.CSV else _record_of(fact, file)
        return replace(answer, value=value, warnings=warnings, media=media, file=file)

    def _made(self, plan: Plan, answer: Answer) -> tuple[bytes, str, tuple[str, ...]] | Failure:
        """The file's bytes, its type, and what is to be said of it."""
        output = plan.output
        if output.modality is Modality.CSV:
            rows = cast("list[Mapping[str, JsonValue]]", answer.value)
            return csv_text(rows, output.columns).encode(errors="replace"), CSV, ()
        if output.modality is Modality.PDF and answer.media is None:
            return self._pages(str(answer.value))
        assert answer.media is not None  # noqa: S101 - a reply without it is no answer of these modalities
        return _sniffed(answer.media.content, output.modality, asked=output.file_type)

    def _pages(self, text: str) -> tuple[bytes, str, tuple[str, ...]] | Failure:
        from tasks_lib.outputs.typeset import CannotBeSet, typeset  # noqa: PLC0415 - optional, and slow

        try:
            pages = typeset(text, title=self._title)
        except CannotBeSet as error:
            return _invalid(f"the answer cannot be set as pages: {error}", text=text)
        return pages.content, PDF, pages.warnings


def _sniffed(
    content: bytes, modality: Modality, *, asked: str | None
) -> tuple[bytes, str, tuple[str, ...]] | Failure:
    """What came as a picture, recording or document, if it is one."""
    prefix, noun = _KIND[modality]
    mime_type = mime_of(content)
    if not content:
        return _invalid(f"the {noun} is empty")
    if not mime_type.startswith(prefix):
        told = content[:_SHOWN].decode(errors="replace") if not _is_binary(mime_type) else None
        return _invalid(f"what came is no {noun}, but {_called(mime_type)}", text=told)
    if not is_kept(mime_type):
        return _invalid(f"what came is a {noun} of type {mime_type}, which is not kept")
    if not is_whole(content, mime_type):
        return _invalid(f"the {noun} ({mime_type}) has no end: {len(content):,} bytes of it came")
    if asked is None or mime_of_file_type(asked) == mime_type or (asked == "opus" and mime_type in _OGG):
        return content, mime_type, ()
    return content, mime_type, (f"{asked} was asked for, and {suffix_of(mime_type)} came",)


def _is_binary(mime_type: str) -> bool:
    return not (mime_type.startswith("text/") or mime_type == "application/json")


def _called(mime_type: str) -> str:
    names = {
        "text/html": "a web page",
        "application/json": "JSON",
        "text/plain": "text",
        "application/octet-stream": "something unknown",
    }
    return names.get(mime_type, mime_type)


def _record_of(fact: FileFact, file: FileFact | None) -> dict[str, JsonValue]:
    """What stands for the file where a value is wanted; one that is not stored is nowhere to be had."""
    return {
        "file_name": fact.name,
        "content_type": fact.mime_type,
        "size_bytes": fact.size,
        "sha256": fact.sha256,
        "download_url": file.uri if file is not None else None,  # relative to the ledger's folder
    }


def _invalid(message: str, *, text: str | None = None) -> Failure:
    return Failure(kind=FailureKind.INVALID_OUTPUT, message=message, text=text)
