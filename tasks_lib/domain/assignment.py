"""Which of a task's revisions a row is run with: one by weight, one that is named, or several to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import Revision, Task, choose_revision
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import parsed_id

NO_REVISION = "0" * 32
"""The fingerprint, and the id, of what a row is run with that names a revision which there is not."""


ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a job says of its rows' revisions; at most one of the first three."""

    revision_id: Template | None = None  # over the row's columns; where it is empty, weights decide
    revision_tag: Template | None = None  # likewise
    compare: tuple[str, ...] = ()  # tags: every row is run with each of these
    former_ids: Mapping[str, str] = field(default_factory=dict)
    """Ids that revisions had before the job gave them another model -> their tags."""

    @property
    def pin(self) -> Template | None:
        """What names a row's revision, by id or tag."""
        return self.revision_id or self.revision_tag

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that name revisions."""
        return tuple(dict.fromkeys(self.pin.names)) if self.pin is not None else ()

    @property
    def runs_a_row(self) -> int:
        """How often each row is run."""
        return max(1, len(self.compare))


@dataclass(frozen=True, slots=True)
class Assigned:
    """A revision that a row is run with, and how it was found."""

    revision: Revision
    by: str  # only, weight, tag, id or compare
    problem: Failure | None = None  # the row names a revision that there is not


class Assigner:
    """Gives each row its revisions: the same ones for the same task, seed and key, whatever else is run."""

    def __init__(self, task: Task, assignment: Assignment, *, seed: str) -> None:
        """Resolve what is the same for all rows.

        Raises:
            ValueError: the job names a revision that the task does not have.
        """
        self._task = task
        self._assignment = assignment
        self._seed = seed
        self._named = _by_id(task, assignment) if assignment.revision_id else _by_tag(task)
        self.same_for_all = self._same_for_all()

    def of(self, row: Row) -> tuple[Assigned, ...]:
        """The revisions of a row, in the order in which it is run with them."""
        if self.same_for_all is not None:
            return self.same_for_all
        pin = self._assignment.pin
        if pin is not None:
            named = pin.render(row.values).strip()
            if named:
                return (self._pinned(named),)
        return (self._by_weight(row),)

    def _same_for_all(self) -> tuple[Assigned, ...] | None:
        assignment, task = self._assignment, self._task
        if assignment.compare:
            by_tag = _by_tag(task)
            missing = [tag for tag in assignment.compare if tag not in by_tag]
            if missing:
                raise ValueError(unknown_revision(task, missing[0]))
            return tuple(Assigned(by_tag[tag], "compare") for tag in assignment.compare)
        pin = assignment.pin
        if pin is None:
            return (Assigned(task.revisions[0], "only"),) if len(task.revisions) == 1 else None
        if not pin.is_constant or not pin.render({}).strip():
            return None
        pinned = self._pinned(pin.render({}).strip())
        if pinned.problem is not None:
            raise ValueError(pinned.problem.message)
        return (pinned,)

    def _by_weight(self, row: Row) -> Assigned:
        revisions = self._task.revisions
        if len(revisions) == 1:
            return Assigned(revisions[0], "only")
        return Assigned(choose_revision(revisions, seed=self._seed, row_key=row.key), "weight")

    def _pinned(self, named: str) -> Assigned:
        """The revision of a name, or what stands for one that there is not."""
        by = "id" if self._assignment.revision_id else "tag"
        wanted = named if by == "tag" else parsed_id(named)
        revision = None if wanted is None else self._named.get(wanted)
        if revision is not None:
            return Assigned(revision, by)
        failure = Failure(
            kind=FailureKind.BAD_ROW,
            message=not_an_id(named) if wanted is None else unknown_revision(self._task, named),
        )
        nobody = replace(self._task.revisions[0], tag=named[:_LONGEST_SHOWN], fingerprint=NO_REVISION)
        return Assigned(nobody, by, failure)


_LONGEST_SHOWN = 64


def shares_of(task: Task, assignment: Assignment) -> Mapping[str, float | None]:
    """The share of its runs that each revision is to get, by tag; None where rows name theirs.

    Raises:
        ValueError: the job names a revision that the task does not have.
    """
    if assignment.pin is not None and not assignment.pin.is_constant:
        return dict.fromkeys(_tags_of(task))
    same = Assigner(task, assignment, seed="").same_for_all
    if same is not None:
        share = 1 / len(same)
        return {tag: sum(share for one in same if one.revision.tag == tag) for tag in _tags_of(task)}
    whole = sum(revision.weight for revision in task.revisions)
    return {revision.tag: revision.weight / whole for revision in task.revisions}


def compared(task: Task, names: Sequence[str]) -> tuple[str, ...]:
    """The tags of the revisions that are named by tag or id, or by `all`; none where nothing is named.

    Raises:
        ValueError: one of them is unknown, named twice or the same as another, or there is but one.
    """
    tags = _tags_of(task)
    if list(names) == [ALL] and ALL not in tags:
        found = list(task.revisions)
    else:
        found = []
        for name in names:
            revision = resolved(task, name)
            if revision is None:
                raise ValueError(unknown_revision(task, name))
            found.append(revision)
    fingerprints: dict[str, str] = {}
    for revision in found:
        other = fingerprints.setdefault(revision.fingerprint, revision.tag)
        if other != revision.tag:
            raise ValueError(f"{other} and {revision.tag} differ in name and weight alone")
    if len(fingerprints) < len(found):
        raise ValueError("a revision is named twice")
    if len(found) == 1:
        raise ValueError(f"{found[0].tag} alone cannot be compared; name two revisions at least")
    return tuple(revision.tag for revision in found)


def resolved(task: Task, name: str) -> Revision | None:
    """The revision of a tag or an id; None if the task has none of that name."""
    found = _by_tag(task).get(name)
    if found is None and (wanted := parsed_id(name)) is not None:
        return _by_id(task, Assignment()).get(wanted)
    return found


def not_an_id(named: str) -> str:
    """That an id is none."""
    return f"revision_id {named[:_LONGEST_SHOWN]!r} is not a UUID; a tag is named by revision_tag"


def unknown_revision(task: Task, named: str) -> str:
    """That a task does not have a revision; what the ledger alone knows of cannot be run."""
    if parsed_id(named) is None:
        return (
            f"the task has no revision tagged {named[:_LONGEST_SHOWN]!r}; it has {', '.join(_tags_of(task))}"
        )
    known = ", ".join(f"{one.tag} {task.revision_id(one)}" for one in task.revisions)
    return (
        f"the task has no revision with the id {named[:_LONGEST_SHOWN]}; it has {known}. A revision that "
        "only the ledger still knows cannot be run: bring its text back into the task file"
    )


def _tags_of(task: Task) -> Sequence[str]:
    return [revision.tag for revision in task.revisions]


def _by_tag(task: Task) -> dict[str, Revision]:
    return {revision.tag: revision for revision in task.revisions}


def _by_id(task: Task, assignment: Assignment) -> dict[str, Revision]:
    tagged = _by_tag(task)
    former = {name: tagged[tag] for name, tag in assignment.former_ids.items() if tag in tagged}
    return former | {task.revision_id(revision): revision for revision in task.revisions}
