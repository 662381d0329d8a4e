"""All that is decided about a run before a byte is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tasks_lib.domain.failure import ANY_FAILURE, Failure, FailureKind
from tasks_lib.domain.files import Attachment, FileFact, FileRef
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Answer, Output
from tasks_lib.domain.remote import Remote
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.task import ModelChoice, Revision


@dataclass(slots=True)  # not frozen: one is made of every row, and that takes three times as long
class Message:
    """One message of a prompt. Nobody changes one that is made."""

    role: str  # system or user
    text: str
    files: tuple[Attachment, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent with every plan; by itself pickle would take three times as long.
        return Message, (self.role, self.text, self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An answer in the ledger to the very same question, which may stand in for a call."""

    task_run_id: str  # whose answer it is
    answer: Answer
    model: str | None  # that gave it


@dataclass(slots=True, kw_only=True)  # not frozen: of every row one is made, and its fields are many
class Plan:
    """What will be asked for one row, of whom, and to whose account. Nobody changes one that is made."""

    task_run_id: str
    row_key: str
    row_number: int
    submitted: Mapping[str, JsonValue]  # the placeholders' values
    input_hash: str
    identity: str
    revision: Revision
    chosen_by: str  # only, weight, tag, id or compare
    models: tuple[ModelChoice, ...]
    messages: tuple[Message, ...]
    output: Output
    retries: Retries = field(default_factory=Retries)
    reporting_group: str | None = None
    reference: str | None = None
    context_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    begin_at: int = 0  # in `models`; 1: the user wants the fallback
    fallback_on: frozenset[FailureKind] = ANY_FAILURE  # after which the next model is asked
    carried: Carried | None = None
    credits_per_dollar: Decimal | None = None  # None: no credits are reckoned
    stored: Stored | None = None  # no call will be made
    remote: Remote | None = None  # a hosted run that an earlier batch began, to be taken up
    begins_runs: bool = True  # False: only `remote` is seen to its end, and nothing is asked anew
    file_refs: tuple[FileRef, ...] = ()  # to be read before the first call
    is_prepared: bool = True  # False: processors or files come first, and the messages after them
    processed: Mapping[str, JsonValue] = field(default_factory=dict)  # placeholder -> what a processor made
    input_processor_timing: float | None = None  # seconds; None: no processor ran
    files: tuple[FileFact, ...] = ()  # that were sent
    times_ended: int = 0  # runs of this identity that came to their end before
    problem: Failure | None = None  # the row cannot be asked; no call will be made
