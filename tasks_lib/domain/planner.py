"""From a row to its plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, content_hash, identity_of
from tasks_lib.domain.job import Labels
from tasks_lib.domain.plan import LONGEST_LABEL, LONGEST_METADATA, Message, Plan
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import Revision, Task, choose_revision


@dataclass(slots=True, kw_only=True)  # not frozen: one is made of every row, and that would double its cost
class Charted:
    """A row with all that tells whether it was answered before; rendering waits until it was not."""

    row: Row
    revision: Revision
    submitted: Mapping[str, JsonValue]
    input_hash: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes the plans of one batch: the same row always gets the same plan, but for its run id."""

    task: Task
    inputs: Mapping[str, str]  # placeholder -> column
    labels: Labels
    retries: Retries
    seed: str
    pinned: Revision | None = None  # by tag; None: by traffic weight

    def chart(self, row: Row) -> Charted:
        """Which revision a row gets, and the names under which an answer would be known."""
        revision = self.pinned or choose_revision(self.task.revisions, seed=self.seed, row_key=row.key)
        submitted = {name: row.values[column] for name, column in self.inputs.items()}
        input_hash = content_hash(submitted)
        return Charted(
            row=row,
            revision=revision,
            submitted=submitted,
            input_hash=input_hash,
            identity=identity_of(row.key, input_hash, revision.fingerprint),
        )

    def plan(self, charted: Charted, *, task_run_id: str) -> Plan:
        """The plan of a row; a row that cannot be asked has a plan that says why."""
        row, revision = charted.row, charted.revision
        user = Message(role="user", text=revision.user_prompt.render(charted.submitted))
        if revision.system_prompt is None:
            messages: tuple[Message, ...] = (user,)
        else:
            messages = (Message(role="system", text=revision.system_prompt.render(charted.submitted)), user)
        labels = self.labels
        group = labels.reporting_group.render(row.values) if labels.reporting_group else None
        reference = labels.reference.render(row.values) if labels.reference else None
        context_id = labels.context_id.render(row.values) if labels.context_id else None
        metadata = {name: template.render(row.values) for name, template in labels.metadata.items()}
        return Plan(
            task_run_id=task_run_id,
            row_key=row.key,
            row_number=row.number,
            submitted=charted.submitted,
            input_hash=charted.input_hash,
            identity=charted.identity,
            revision=revision,
            chosen_by=self.chosen_by,
            models=revision.models,
            messages=messages,
            output=self.task.output,
            retries=self.retries,
            reporting_group=group or None,  # an empty name is no group
            reference=reference or None,
            context_id=context_id or None,
            metadata=metadata,
            problem=_problem(group=group, reference=reference, context_id=context_id, metadata=metadata),
        )

    @property
    def chosen_by(self) -> str:
        """How revisions are chosen in this batch."""
        if self.pinned is not None:
            return "tag"
        return "only" if len(self.task.revisions) == 1 else "weight"


def _problem(
    *, group: str | None, reference: str | None, context_id: str | None, metadata: Mapping[str, str]
) -> Failure | None:
    for name, text in (("reporting_group", group), ("reference", reference), ("context_id", context_id)):
        if text is not None and len(text) > LONGEST_LABEL:
            return _bad_row(f"{name} has {len(text)} characters, {LONGEST_LABEL} are allowed: {text[:40]}…")
    for name, text in metadata.items():
        if len(text) > LONGEST_METADATA:
            return _bad_row(f"metadata {name} has {len(text)} characters, {LONGEST_METADATA} are allowed")
    return None


def _bad_row(message: str) -> Failure:
    return Failure(kind=FailureKind.BAD_ROW, message=message)
