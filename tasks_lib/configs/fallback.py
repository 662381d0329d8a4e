"""When a row goes to its fallback, as files tell it."""

from collections.abc import Iterator, Sequence
from typing import Final

from tasks_lib.configs.document import Document, Trail
from tasks_lib.configs.fields import Column
from tasks_lib.configs.problems import Problem, quoted
from tasks_lib.configs.tasks import TaskDocument
from tasks_lib.domain.task import Revision
from tasks_lib.domain.template import Template

_AT: Final[Trail] = ("use_fallback_model",)
_YES: Final = ("true", "yes", "1")
_NO: Final = ("false", "no", "0")


def switch_of(told: bool | str | Column) -> Template | None:
    """Which rows begin at their fallback; None: none of them."""
    if isinstance(told, Column):
        return Template(f"{{{{{told.column}}}}}", ("", ""), (told.column,))
    word = str(told).strip().lower()
    if word in _NO:
        return None
    return Template.parse("true" if word in _YES else str(told))


def switch_problems(
    document: Document,
    told: bool | str | Column,
    *,
    task: TaskDocument | None,
    chosen: Sequence[Revision],
) -> Iterator[Problem]:
    """What is wrong with `use_fallback_model`, where rows may get any of the chosen revisions."""
    switch = switch_of(told)
    if switch is None:
        return
    if switch.is_constant and switch.source != "true":
        message = f"use_fallback_model says {quoted(str(told))}, which is neither true nor false"
        yield document.problem(_AT, message, "Say true, false, or {column: NAME}.")
        return
    for revision in chosen:
        if len(revision.models) == 1 and task is not None:
            index = task.task.revisions.index(revision)
            at = task.document.place(
                ("revisions", index) if "revisions" in task.document.value else ("model",)
            )
            where = ":".join(str(part) for part in (at.file, at.line) if part is not None)
            yield document.problem(
                _AT,
                f"use_fallback_model needs a fallback, and revision {revision.tag!r} has none",
                f"Give it one: fallback: [provider:name] in {where}.",
            )
