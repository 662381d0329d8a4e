"""Files and processors of a task and a job: what the files say of them, and what is wrong with it."""

from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from tasks_lib.configs.document import Document, Trail
from tasks_lib.configs.input_file import ProcessorFile, columns_told
from tasks_lib.configs.job_file import JobFile, source_of
from tasks_lib.configs.paths import path_from, shown
from tasks_lib.configs.problems import Problem, did_you_mean, quoted
from tasks_lib.configs.task_file import TaskFile
from tasks_lib.domain.globs import fixed_part, is_glob
from tasks_lib.domain.inputs import (
    BUILT_IN_PROCESSORS,
    FETCHES_URLS,
    MOST_FILE_BYTES,
    READS_FILES,
    FileInput,
    FileMode,
    FileSources,
    ProcessorStep,
    processor_names,
)
from tasks_lib.domain.place import is_address
from tasks_lib.domain.task import Task

_GROUP: Final = "rowmill.input_processors"  # of entry points


def file_input_of(file: TaskFile) -> FileInput:
    """Which files the task takes."""
    mode = FileMode(file.file_input_mode or "none")
    if file.image_required:
        mode = FileMode.IMAGE
    return FileInput(
        mode=mode,
        required=True if file.file_required is None else file.file_required,
        max_bytes=file.max_file_bytes or MOST_FILE_BYTES,
    )


def processors_of(file: TaskFile) -> tuple[ProcessorStep, ...]:
    """What happens to the placeholders' values, in order."""
    return tuple(
        ProcessorStep(param_name=one.param_name, input_processor=one.input_processor, config=one.config)
        for one in file.input_processors
    )


def task_input_problems(
    document: Document, file: TaskFile, *, placeholders: Collection[str], processors: Collection[str]
) -> Iterator[Problem]:
    """What is wrong with a task's files and processors; `processors` are known beside the installed ones."""
    told_mode = file.file_input_mode is not None
    if file.image_required is not None and told_mode:
        yield document.key_problem(
            ("image_required",),
            "image_required stands beside file_input_mode",
            "image_required: true is the same as file_input_mode: image; say one of the two.",
        )
    takes_files = file_input_of(file).mode is not FileMode.NONE
    if file.file_required is not None and not takes_files:
        yield document.key_problem(
            ("file_required",), "file_required stands in a task that takes no files", "Say file_input_mode."
        )
    if file.max_file_bytes is not None and not (takes_files or file.input_processors):
        yield document.key_problem(
            ("max_file_bytes",), "max_file_bytes stands in a task that takes no files", "Say file_input_mode."
        )
    known = processor_names(*(point.name for point in entry_points(group=_GROUP)), *processors)
    for index, one in enumerate(file.input_processors):
        at: Trail = ("input_processors", index)
        if one.param_name not in placeholders:
            yield document.problem(
                (*at, "param_name"),
                f"the task has no placeholder {{{{{one.param_name}}}}}",
                did_you_mean(one.param_name, list(placeholders), plural="placeholders"),
            )
        if one.input_processor not in known:
            yield document.problem(
                (*at, "input_processor"),
                f"there is no input processor {quoted(one.input_processor)}",
                did_you_mean(one.input_processor, known, plural="input processors"),
            )
        elif one.input_processor in BUILT_IN_PROCESSORS:
            yield from _config_problems(document, (*at, "config"), one)


def _config_problems(document: Document, at: Trail, one: ProcessorFile) -> Iterator[Problem]:
    keys = BUILT_IN_PROCESSORS[one.input_processor]
    for key, value in one.config.items():
        if key not in keys:
            yield document.key_problem(
                (*at, key),
                f"{one.input_processor} has no {quoted(key)} in its config",
                did_you_mean(key, sorted(keys), plural="keys"),
            )
        elif key == "max_characters" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            yield document.problem((*at, key), "max_characters must be a whole number of at least 1")
        elif key == "fallback_text" and not isinstance(value, str):
            yield document.problem((*at, key), "fallback_text must be text")


def file_sources_of(document: Document, file: JobFile) -> FileSources:
    """Where the files of the rows may come from."""
    source = source_of(file)
    if source.path is not None and not is_address(source.path):
        beside = _folder_of(path_from(document.place(("source", "path")).folder, source.path))
    else:
        beside = document.place(("source", "query")).folder
    return FileSources(
        columns=columns_told(file.files),
        folders=tuple(dict.fromkeys((beside, *_folders(document, file)))),
        hosts=tuple(file.allow_urls),
        allow_private_addresses=file.allow_private_addresses,
    )


def _folder_of(path: Path) -> Path:
    """Where the files of a folder, a glob or a file are."""
    if path.is_dir():
        return path
    return path.parent if path.exists() or not is_glob(str(path)) else Path(fixed_part(path))


def _folders(document: Document, file: JobFile) -> Iterator[Path]:
    for index, folder in enumerate(file.file_folders):
        yield path_from(document.place(("file_folders", index)).folder, folder)


def job_input_problems(document: Document, file: JobFile, task: Task) -> Iterator[Problem]:
    """What is wrong with a job's files."""
    columns = columns_told(file.files)
    mode = task.file_input.mode
    if mode is FileMode.NONE and columns:
        yield document.key_problem(
            ("files",),
            "files names columns, and the task takes no files",
            "Say file_input_mode: image, pdf, image_or_pdf or any in the task.",
        )
    if mode is not FileMode.NONE and not columns:
        yield document.problem(
            (),
            f"the task takes {mode.wanted} with each row, and the job does not say which column names it",
            "Say files: [COLUMN].",
        )
    for index, folder in enumerate(_folders(document, file)):
        if not folder.is_dir():
            yield document.problem(("file_folders", index), f"there is no folder {shown(folder)}")
    asked = {step.input_processor for step in task.processors}
    if FETCHES_URLS in asked and not file.allow_urls:
        yield document.problem(
            (),
            f"the task fetches URLs ({FETCHES_URLS}), and the job allows no host to be asked",
            'Say allow_urls: [example.com, "*.example.org"], or ["*"] for every public host.',
        )
    if not (columns or READS_FILES in asked):
        if file.file_folders:
            yield document.key_problem(("file_folders",), "file_folders is for rows that name files")
        if file.allow_urls and not asked:
            yield document.key_problem(("allow_urls",), "allow_urls is for rows that name files or pages")


def file_columns_named(document: Document, columns: Collection[str]) -> Iterator[tuple[Trail, str]]:
    """Where the job names each column of files."""
    told = document.value.get("files")
    for index, column in enumerate(columns):
        if isinstance(told, list):
            yield ("files", index), column
        else:
            yield (("files", "column") if isinstance(told, dict) else ("files",)), column
