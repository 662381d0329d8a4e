"""From a row to its plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tasks_lib.domain.assignment import Assigned, Assigner, Assignment
from tasks_lib.domain.beginning import beginning
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, content_hash, identity_of
from tasks_lib.domain.inputs import Found, RowFiles
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.overrides import Overrider, RowOverrides
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row, RowsByColumn
from tasks_lib.domain.task import Revision, Task
from tasks_lib.domain.template import Template

_SYSTEM: Final = "system"
_USER: Final = "user"
_NOTHING: Mapping[str, JsonValue] = {}  # one for all plans: what they have in common is sent to a worker once


@dataclass(slots=True, kw_only=True)  # not frozen: one is made of every row, and that would double its cost
class Charted:
    """A row with all that tells whether it was answered before; rendering waits until it was not."""

    row: Row
    assigned: Assigned
    submitted: Mapping[str, JsonValue]
    input_hash: str
    identity: str
    found: Found | None = None  # the files that it names; None: nobody looked for any

    @property
    def revision(self) -> Revision:
        """That the row is run with."""
        return self.assigned.revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes the plans of one batch: the same row always gets the same plan, but for its run id."""

    task: Task
    inputs: Mapping[str, str]  # placeholder -> column
    labels: Labels
    retries: Retries
    seed: str
    assignment: Assignment = field(default_factory=Assignment)
    credits_per_dollar: Decimal | None = None
    use_fallback_model: Template | None = None  # see `beginning`
    files: RowFiles | None = None  # None: rows name no files
    overrides: RowOverrides = field(default_factory=RowOverrides)
    _assigner: Assigner = field(init=False, repr=False, compare=False)
    _overrider: Overrider = field(init=False, repr=False, compare=False)
    _same_for_all: tuple[Assigned, ...] | None = field(init=False, repr=False, compare=False)
    _systems: dict[str, Message] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The system messages that are the same for every row of a revision, by their text."""

    def __post_init__(self) -> None:
        """Resolve the assignment once.

        Raises:
            ValueError: it names a revision that the task does not have.
        """
        object.__setattr__(self, "_assigner", Assigner(self.task, self.assignment, seed=self.seed))
        object.__setattr__(self, "_overrider", Overrider(self.task, self.overrides))
        same = None if self._overrider.changes_rows else self._assigner.same_for_all
        object.__setattr__(self, "_same_for_all", same)

    def charts(self, row: Row) -> tuple[Charted, ...]:
        """Which revisions a row gets, and the names under which their answers would be known.

        It is one, unless revisions are compared.
        """
        values = row.values
        submitted = {name: values[column] for name, column in self.inputs.items()}
        found = self.files.of(row) if self.files is not None else None
        input_hash = content_hash(submitted if found is None else [submitted, found.digest])
        return tuple(
            [  # a generator takes twice as long for the one that it mostly is
                Charted(
                    row=row,
                    assigned=assigned,
                    submitted=submitted,
                    input_hash=input_hash,
                    identity=identity_of(row.key, input_hash, assigned.revision.fingerprint),
                    found=found,
                )
                for assigned in self._same_for_all or self._assigned(row)
            ]
        )

    def identities(self, rows: RowsByColumn) -> tuple[Sequence[str], Sequence[Revision]]:
        """The identities that `charts` gives row after row, and the revision of each."""
        same = self._same_for_all
        if same is None or self.files is not None:
            charted = [one for row in rows.rows() for one in self.charts(row)]
            return [one.identity for one in charted], [one.revision for one in charted]
        names = tuple(self.inputs)
        submitted = zip(*(rows.columns[column] for column in self.inputs.values()), strict=True)
        hashes = [content_hash(dict(zip(names, each, strict=True))) for each in submitted]
        if not names:
            hashes = [content_hash({})] * len(rows.keys)
        revisions = [assigned.revision for assigned in same]
        fingerprints = [revision.fingerprint for revision in revisions]
        identities = [
            identity_of(key, input_hash, fingerprint)
            for key, input_hash in zip(rows.keys, hashes, strict=True)
            for fingerprint in fingerprints
        ]
        return identities, revisions * len(rows.keys)

    def _assigned(self, row: Row) -> Sequence[Assigned]:
        return [self._overrider.of(row.values, assigned) for assigned in self._assigner.of(row)]

    def plan(self, charted: Charted, *, task_run_id: str) -> Plan:
        """The plan of a row; a row that cannot be asked has a plan that says why."""
        row, assigned, found = charted.row, charted.assigned, charted.found
        revision = assigned.revision
        labelled = self.labels.of(row)
        begin_at, wrong = beginning(self.use_fallback_model, row.values, revision)
        has_processors = bool(self.task.processors)
        messages = () if has_processors else self._messages(revision, charted.submitted)
        problem = assigned.problem or labelled.problem or wrong or _lacking(found)
        problem = problem or self._overrider.problem(messages)
        refs = found.refs if found is not None and problem is None else ()
        return Plan(
            task_run_id=task_run_id,
            row_key=row.key,
            row_number=row.number,
            submitted=charted.submitted,
            input_hash=charted.input_hash,
            identity=charted.identity,
            revision=revision,
            chosen_by=assigned.by,
            models=revision.models,
            messages=messages,
            output=revision.output or self.task.output,
            retries=self.retries,
            reporting_group=labelled.reporting_group,
            reference=labelled.reference,
            context_id=labelled.context_id,
            metadata=labelled.metadata,
            carried=labelled.carried,
            credits_per_dollar=self.credits_per_dollar,
            begin_at=begin_at,
            fallback_on=revision.fallback_on,
            file_refs=refs,
            is_prepared=not (refs or has_processors),
            processed=_NOTHING,
            problem=problem,
        )

    def _messages(self, revision: Revision, values: Mapping[str, JsonValue]) -> tuple[Message, ...]:
        """As `rendered`, but that a system message that no row changes is one object."""
        system = revision.system_prompt
        if system is None or system.names:
            return rendered(revision, values)
        text = system.literals[0]
        message = self._systems.get(text)
        if message is None:
            message = self._systems[text] = Message(_SYSTEM, text)
        return (message, Message(_USER, revision.user_prompt.render(values)))


def rendered(revision: Revision, values: Mapping[str, JsonValue]) -> tuple[Message, ...]:
    """The messages of a revision's prompts with the placeholders' values; the user's is the last."""
    user = Message(_USER, revision.user_prompt.render(values))
    if revision.system_prompt is None:
        return (user,)
    return (Message(_SYSTEM, revision.system_prompt.render(values)), user)


def _lacking(found: Found | None) -> Failure | None:
    if found is None or found.problem is None:
        return None
    return Failure(kind=FailureKind.BAD_ROW, message=found.problem)
