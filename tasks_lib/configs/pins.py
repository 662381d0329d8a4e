"""Which revisions rows are run with, as a job file tells it."""

from collections.abc import Iterator, Sequence

from tasks_lib.configs.document import Document, Trail
from tasks_lib.configs.fields import Column
from tasks_lib.configs.job_file import JobFile
from tasks_lib.configs.override import as_run
from tasks_lib.configs.problems import Problem, did_you_mean, quoted
from tasks_lib.configs.tasks import TaskDocument
from tasks_lib.domain.assignment import ALL, Assignment, compared, resolved, unknown_revision
from tasks_lib.domain.task import Revision, Task
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import parsed_id


def pin_template(label: str | Column | None) -> Template | None:
    """What names a row's revision; None if nothing does."""
    if label is None or label == "":
        return None
    if isinstance(label, Column):  # made by hand, since a column may be called what no placeholder can be
        return Template(f"{{{{{label.column}}}}}", ("", ""), (label.column,))
    return Template.parse(label)


def assignment_of(document: Document, file: JobFile, task: Task) -> Assignment:
    """The assignment of a job file without problems; `task` is as its own file has it."""
    former = {}
    if file.model is not None or file.override is not None:
        former = {task.revision_id(revision): revision.tag for revision in task.revisions}
    return Assignment(
        revision_id=pin_template(file.revision_id),
        revision_tag=pin_template(file.revision_tag),
        compare=compared(as_run(document, file, task), _tagged(document, file, task)),
        former_ids=former,
    )


def assignment_problems(document: Document, file: JobFile, task: TaskDocument | None) -> Iterator[Problem]:
    """What is wrong with the revisions that a job names, and with weights that it needs."""
    given = [key for key in ("revision_id", "revision_tag", "compare") if getattr(file, key)]
    for key in given[1:]:
        yield document.key_problem(
            (key,), f"{key!r} stands beside {given[0]!r}", "One of them says which revisions rows get."
        )
    if task is None or len(given) > 1:
        return
    if not _is_settled(file):
        yield from task.unweighted
    for key in ("revision_id", "revision_tag"):
        pin = pin_template(getattr(file, key))
        if pin is not None and pin.is_constant:
            yield from _constant_problems(document, file, task.task, key=key, name=pin.render({}).strip())
    yield from _compare_problems(document, file, task.task)


def revisions_used(document: Document, file: JobFile, task: Task) -> Sequence[Revision]:
    """The revisions that rows may get."""
    pin = pin_template(file.revision_id) or pin_template(file.revision_tag)
    if file.compare:
        try:
            tags = compared(as_run(document, file, task), _tagged(document, file, task))
        except ValueError:  # which is told elsewhere
            return ()
        return [revision for revision in task.revisions if revision.tag in tags]
    if pin is None:
        return [revision for revision in task.revisions if revision.weight > 0]
    if not pin.is_constant:
        return task.revisions
    name = pin.render({}).strip()
    found = resolved(task, name) or resolved(as_run(document, file, task), name)
    return [revision for revision in task.revisions if found is not None and revision.tag == found.tag]


def _is_settled(file: JobFile) -> bool:
    """Whether no row's revision follows from weights."""
    pin = pin_template(file.revision_id) or pin_template(file.revision_tag)
    return bool(file.compare) or (pin is not None and pin.is_constant)


def _constant_problems(
    document: Document, file: JobFile, task: Task, *, key: str, name: str
) -> Iterator[Problem]:
    at: Trail = (key,)
    tags = [revision.tag for revision in task.revisions]
    if key == "revision_tag":
        if name not in tags:
            message = f"the task has no revision tagged {repr(name) if parsed_id(name) else quoted(name)}"
            remedy = "An id is named by revision_id." if parsed_id(name) else None
            yield document.problem(at, message, remedy or did_you_mean(name, tags, plural="tags"))
        return
    if parsed_id(name) is None:
        remedy = "A tag is named by revision_tag." if name in tags else "rowmill plan shows the ids."
        yield document.problem(at, f"revision_id is {quoted(name)}, which is not a UUID", remedy)
    elif resolved(task, name) is None and resolved(as_run(document, file, task), name) is None:
        message, _, remedy = unknown_revision(task, name).partition(". ")
        yield document.problem(at, message, f"{remedy}.")


def _compare_problems(document: Document, file: JobFile, task: Task) -> Iterator[Problem]:
    listed = isinstance(document.value.get("compare"), list)
    for index, name in enumerate(_tagged(document, file, task)):
        if name not in [ALL, *(revision.tag for revision in task.revisions)]:
            at: Trail = ("compare", index) if listed else ("compare",)
            if parsed_id(name) is None:
                message: str = f"the task has no revision tagged {quoted(name)}"
                remedy = did_you_mean(name, [revision.tag for revision in task.revisions], plural="tags")
            else:
                message, _, words = unknown_revision(task, name).partition(". ")
                remedy = f"{words}."
            yield document.problem(at, message, remedy)
            return
    try:
        compared(as_run(document, file, task), _tagged(document, file, task))
    except ValueError as error:
        message, _, words = str(error).partition("; ")
        remedy = f"{words[:1].upper()}{words[1:]}." if words else None
        yield document.problem(("compare",), message, remedy)


def _tagged(document: Document, file: JobFile, task: Task) -> list[str]:
    """What is to be compared, by tag where it was named by an id that the revision has or had."""
    known = [resolved(task, name) or resolved(as_run(document, file, task), name) for name in file.compare]
    return [
        revision.tag if revision is not None else name
        for name, revision in zip(file.compare, known, strict=True)
    ]
