"""Completes a plan before its first call: processors run, files are read, the messages are rendered."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from time import monotonic
from typing import Final

import anyio
import httpx
from anyio import to_thread

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment, Direction, FileFact, FileRef
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import PDF, FileSources, ProcessorStep
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import rendered
from tasks_lib.domain.task import Task
from tasks_lib.inputs.fetch import Fetched, Fetcher, open_fetcher
from tasks_lib.inputs.folders import Folders, read_file, size_of
from tasks_lib.inputs.hosts import Hosts, any_address, bare_url, is_public
from tasks_lib.inputs.kinds import mime_of, text_in
from tasks_lib.inputs.network import Patience
from tasks_lib.inputs.processors import (
    Context,
    Document,
    InputProcessor,
    file_named,
    processors_for,
    text_of,
)
from tasks_lib.inputs.reading import Bounds, Readers, open_readers
from tasks_lib.inputs.room import MOST_BYTES, Room
from tasks_lib.inputs.unusable import Refused, Unusable

_AT_ONCE: Final = 16  # processors of one process that work


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What preparing may take."""

    patience: Patience = field(default_factory=Patience)
    bounds: Bounds = field(default_factory=Bounds)
    waits: tuple[float, ...] = (0.5, 2.0)  # seconds before another try to fetch
    most_bytes: int = MOST_BYTES  # of files in memory at once
    processor_seconds: float = 180.0  # that one step may take


class Preparer:
    """Prepares the plans of one batch: one at a time for each row, many rows at once."""

    def __init__(
        self,
        *,
        task: Task,
        inputs: Mapping[str, str],
        sources: FileSources,
        processors: Mapping[str, InputProcessor],
        fetcher: Fetcher,
        readers: Readers,
        means: Means,
        count_pages: bool,
    ) -> None:
        self._task = task
        self._inputs = inputs
        self._sources = sources
        self._folders = Folders(sources.folders)
        self._processors = processors
        self._fetcher = fetcher
        self._readers = readers
        self._means = means
        self._count_pages = count_pages
        self._room = Room(means.most_bytes)
        self._working = anyio.CapacityLimiter(_AT_ONCE)

    async def __call__(self, plan: Plan) -> Plan:
        """The plan, ready for its first call; or with a problem, so that there will be none."""
        worked: float | None = None
        try:
            values, worked = await self._processed(plan)
            loaded = await self._loaded(plan)
        except Unusable as error:
            failure = Failure(kind=FailureKind.BAD_ROW, message=str(error))
            return replace(plan, problem=failure, is_prepared=True, input_processor_timing=worked)
        *before, last = rendered(plan.revision, values)
        files = tuple(attachment for attachment, _ in loaded)
        return replace(
            plan,
            messages=(*before, replace(last, files=files)),
            processed={step.param_name: values[step.param_name] for step in self._task.processors},
            input_processor_timing=worked,
            files=tuple(fact for _, fact in loaded),
            is_prepared=True,
        )

    async def _processed(self, plan: Plan) -> tuple[Mapping[str, JsonValue], float | None]:
        """The placeholders' values after all steps, and the seconds that these took, if there is one."""
        values = dict(plan.submitted)
        worked: float | None = None
        for step in self._task.processors:
            async with self._working:
                began = monotonic()
                values[step.param_name] = await self._made(step, plan, values)
                worked = (worked or 0.0) + monotonic() - began
        return values, worked

    async def _made(self, step: ProcessorStep, plan: Plan, values: Mapping[str, JsonValue]) -> JsonValue:
        context = Context(
            row_key=plan.row_key,
            param_name=step.param_name,
            values=dict(values),
            max_bytes=self._task.file_input.max_bytes,
            fetch=self._fetch,
            document=_Documents(self, plan, step).get,
            text_of=self._text_of,
        )
        processor = self._processors[step.input_processor]
        try:
            with anyio.fail_after(self._means.processor_seconds):
                return await processor(values[step.param_name], config=step.config, context=context)
        except Refused as error:
            raise Refused(f"{step.input_processor} of {step.param_name}: {error}") from error
        except TimeoutError:
            reason = f"it took more than {self._means.processor_seconds:g} seconds"
        except Exception as error:  # noqa: BLE001 - a processor of anybody's: one row fails, and no batch
            reason = str(error) if isinstance(error, Unusable) else f"{type(error).__name__}: {error}"
        fallback = step.config.get("fallback_text")
        if fallback is not None:
            return fallback
        raise Unusable(f"{step.input_processor} of {step.param_name}: {reason}")

    async def _fetch(self, url: str) -> Fetched:
        return await self._fetcher.get(url, most=self._task.file_input.max_bytes)

    async def _text_of(self, document: Document, most: int) -> str:
        return await text_of(document, self._readers, most=most)

    async def document(self, ref: FileRef) -> Document:
        """A file's content, wherever it is."""
        if ref.url is not None:
            page = await self._fetch(ref.url)
            return Document(
                name=ref.name, content=page.content, content_type=page.content_type, encoding=page.encoding
            )
        return Document(name=ref.name, content=await self._content(ref))

    async def _loaded(self, plan: Plan) -> list[tuple[Attachment, FileFact]]:
        """The row's files, and what the ledger keeps of each.

        Raises:
            Unusable: one is not there, or not what the task takes.
        """
        refs = [ref for ref in plan.file_refs if ref.column in self._sources.columns]
        size = sum(map(self._size, refs))
        await self._room.take(size)  # for all at once: two rows with half of theirs would wait for ever
        loaded: list[tuple[Attachment, FileFact]] = []
        try:
            for ref in refs:
                loaded.append(await self._attached(ref))  # noqa: PERF401 - what is there counts in `finally`
        finally:
            self._room.give_back(size - sum(fact.size for _, fact in loaded))
            for attachment, _ in loaded:
                self._room.until_gone(attachment)
        return loaded

    async def _attached(self, ref: FileRef) -> tuple[Attachment, FileFact]:
        content = await self._content(ref)
        mime_type = mime_of(content, name=ref.name)
        wanted = self._task.file_input.mode
        if not content:
            raise Unusable(f"{ref.column}: the file {ref.name!r} is empty")
        if not wanted.takes(mime_type):
            raise Unusable(
                f"{ref.column}: the file {ref.name!r} is {mime_type}, and the task takes {wanted.wanted}"
            )
        is_counted = mime_type == PDF and self._count_pages
        pages = await self._readers.pages_of(content) if is_counted else None
        fact = FileFact(
            direction=Direction.IN,
            name=ref.name,
            mime_type=mime_type,
            size=len(content),
            sha256=ref.sha256 or sha256(content).hexdigest(),
            uri=uri_of(ref),
        )
        sent = _in_utf8(content) if mime_type.startswith("text/") else content
        return Attachment(name=ref.name, mime_type=mime_type, content=sent, pages=pages), fact

    def _size(self, ref: FileRef) -> int:
        """The most bytes that a file may have."""
        if ref.content is not None:
            return len(ref.content)
        if ref.path is not None:
            return min(size_of(self._folders.find(ref.path)), self._task.file_input.max_bytes)
        return self._task.file_input.max_bytes

    async def _content(self, ref: FileRef) -> bytes:
        if ref.content is not None:
            return ref.content
        if ref.url is not None:
            return (await self._fetch(ref.url)).content
        return await to_thread.run_sync(self._read, ref)

    def _read(self, ref: FileRef) -> bytes:
        assert ref.path is not None  # noqa: S101 - one of the three is there
        content = read_file(self._folders.find(ref.path), most=self._task.file_input.max_bytes)
        if ref.sha256 is not None and sha256(content).hexdigest() != ref.sha256:
            raise Unusable(f"{ref.column}: the file {ref.name!r} was changed while the batch was run")
        return content


class _Documents:
    """Gives the documents that one step of one row asks for."""

    def __init__(self, preparer: Preparer, plan: Plan, step: ProcessorStep) -> None:
        self._preparer = preparer
        self._plan = plan
        self._step = step

    async def get(self, value: JsonValue) -> Document:
        """The document that a value names."""
        param = self._step.param_name
        is_own = value == self._plan.submitted.get(param)  # and not what an earlier step has made of it
        column = self._preparer._inputs.get(param) if is_own else None  # noqa: SLF001 - one idea in two classes
        return await self._preparer.document(file_named(value, self._plan.file_refs, column=column))


@asynccontextmanager
async def open_preparer(
    *,
    task: Task,
    inputs: Mapping[str, str],
    sources: FileSources,
    processors: Mapping[str, InputProcessor],
    count_pages: bool,
    means: Means | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Preparer]:
    """What completes plans; connections and processes are gone on the way out.

    `inputs` says which column a placeholder is; with `count_pages`, PDFs tell how many they have. A transport
    given stands for every network.

    Raises:
        Refused: a processor is nowhere to be found.
    """
    means = means or Means()
    found = processors_for(task.processors, processors)
    async with AsyncExitStack() as stack:
        fetcher = await stack.enter_async_context(
            open_fetcher(
                Hosts(sources.hosts),
                may_ask=any_address if sources.allow_private_addresses else is_public,
                patience=means.patience,
                waits=means.waits,
                transport=transport,
            )
        )
        readers = await stack.enter_async_context(open_readers(means.bounds))
        yield Preparer(
            task=task,
            inputs=inputs,
            sources=sources,
            processors=found,
            fetcher=fetcher,
            readers=readers,
            means=means,
            count_pages=count_pages,
        )


def _in_utf8(content: bytes) -> bytes:
    """A text as every provider takes it."""
    text = text_in(content)
    return content if text is None else text.encode()


def uri_of(ref: FileRef) -> str:
    """Where a file was read, as the ledger keeps it: no login and no query of a URL, and never content."""
    if ref.url is not None:
        return bare_url(ref.url)
    return ref.path if ref.path is not None else f"column:{ref.column}"
