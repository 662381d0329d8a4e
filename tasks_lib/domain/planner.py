"""From a row to its plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

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

    def __post_init__(self) -> None:
        """Resolve the assignment once.

        Raises:
            ValueError: it names a revision that the task does not have.
        """
        object.__setattr__(self, "_assigner", Assigner(self.task, self.assignment, seed=self.seed))
        object.__setattr__(self, "_overrider", Overrider(self.task, self.overrides))

    def charts(self, row: Row) -> tuple[Charted, ...]:
        """Which revisions a row gets, and the names under which their answers would be known.

        It is one, unless revisions are compared.
        """
        submitted = {name: row.values[column] for name, column in self.inputs.items()}
        found = self.files.of(row) if self.files is not None else None
        input_hash = content_hash(submitted if found is None else [submitted, found.digest])
        return tuple(
            Charted(
                row=row,
                assigned=assigned,
                submitted=submitted,
                input_hash=input_hash,
                identity=identity_of(row.key, input_hash, assigned.revision.fingerprint),
                found=found,
            )
            for assigned in self._assigned(row)
        )

    def identities(self, rows: RowsByColumn) -> tuple[Sequence[str], Sequence[Revision]]:
        """The identities that `charts` gives row after row, and the revision of each."""
        same = self._assigner.same_for_all
        if same is None or self.files is not None or self.overrides.columns:
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

    def _assigned(self, row: Row) -> Iterator[Assigned]:
        for assigned in self._assigner.of(row):
            yield self._overrider.of(row.values, assigned)

    def plan(self, charted: Charted, *, task_run_id: str) -> Plan:
        """The plan of a row; a row that cannot be asked has a plan that says why."""
        row, revision = charted.row, charted.revision
        labelled = self.labels.of(row)
        begin_at, wrong = beginning(self.use_fallback_model, row.values, revision)
        has_processors = bool(self.task.processors)
        messages = () if has_processors else rendered(revision, charted.submitted)
        problem = charted.assigned.problem or labelled.problem or wrong or _lacking(charted.found)
        problem = problem or self._overrider.problem(messages)
        refs = charted.found.refs if charted.found is not None and problem is None else ()
        return Plan(
            task_run_id=task_run_id,
            row_key=row.key,
            row_number=row.number,
            submitted=charted.submitted,
            input_hash=charted.input_hash,
            identity=charted.identity,
            revision=revision,
            chosen_by=charted.assigned.by,
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
            problem=problem,
        )


def rendered(revision: Revision, values: Mapping[str, JsonValue]) -> tuple[Message, ...]:
    """The messages of a revision's prompts with the placeholders' values; the user's is the last."""
    user = Message(role="user", text=revision.user_prompt.render(values))
    if revision.system_prompt is None:
        return (user,)
    return (Message(role="system", text=revision.system_prompt.render(values)), user)


def _lacking(found: Found | None) -> Failure | None:
    if found is None or found.problem is None:
        return None
    return Failure(kind=FailureKind.BAD_ROW, message=found.problem)
