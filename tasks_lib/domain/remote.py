"""What a hosted task tells of a run that it has made for a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tasks_lib.domain.fingerprint import JsonValue

_GOING_ON = frozenset({"queued", "running", "action_required", "cancelling", "in_progress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A run that was begun for a row at a hosted task, and that nobody has seen the end of."""

    position: int  # in the plan's models
    remote_id: str | None  # None: it may have been begun, and its id was lost
    estimated_cost: Decimal = Decimal(0)  # dollars that the ledger has as possibly spent on it
    age: float = 0.0  # seconds since the ledger first knew of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """What one field of an answer rests on."""

    field: str
    reasoning: str | None = None
    confidence: str | None = None  # low, medium or high
    url: str | None = None
    title: str | None = None
    excerpts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that a browser agent did."""

    name: str
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    is_done: bool | None = None
    success: bool | None = None
    extracted_content: str | None = None
    error: str | None = None
    include_in_memory: bool | None = None
    further: Mapping[str, JsonValue] = field(default_factory=dict)  # what newer servers tell besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a browser agent."""

    description: str
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """A run as the hosted task tells it, whatever came of it; None is what it did not tell."""

    remote_id: str
    group_id: str | None = None
    status: str | None = None  # in the API's own word
    processor: str | None = None
    task_id: str | None = None
    task_revision_id: str | None = None
    charged_credits: Decimal | None = None
    llm_retries: int | None = None
    llm_call_timing: float | None = None  # seconds
    input_processor_timing: float | None = None  # seconds
    used_fallback_model: bool | None = None
    primary_failure_reason: str | None = None
    fallback_llm_model_id: str | None = None
    run_data: Mapping[str, JsonValue] | None = None
    warnings: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()
    steps: tuple[Step, ...] = ()
    further: Mapping[str, JsonValue] = field(default_factory=dict)  # all else, in the API's own words

    @property
    def is_over(self) -> bool:
        """Whether the hosted task has told that the run has come to its end."""
        return self.status is not None and self.status not in _GOING_ON
