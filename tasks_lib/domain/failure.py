"""Why an exchange gave no usable answer, and what each reason allows.

kind            tried again on    another model   ends the batch
rate_limited    rate budget       yes
server_error    transient budget  yes
timeout         transient budget  yes
connection      transient budget  yes
broken_reply    transient budget  yes
invalid_output  content budget    yes
refused                           yes
length                            yes
low_confidence                    yes
circuit_open                      yes
run_failed                        yes
rejected
bad_row
poisoned
given_up
unauthorized                                      yes
forbidden                                         yes
unknown_model                                     yes
out_of_credit                                     yes
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.usage import Usage


class Budget(Enum):
    """The three budgets of tries."""

    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    CONTENT = "content"


class _Rule(NamedTuple):
    budget: Budget | None
    another_model: bool
    ends_batch: bool


class FailureKind(Enum):
    """The reasons; the table above says what follows from each."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BROKEN_REPLY = "broken_reply"  # a 200 that is no answer: cut short, HTML, not the protocol
    INVALID_OUTPUT = "invalid_output"  # an answer that is not what the task's output asks for
    REFUSED = "refused"
    LENGTH = "length"
    LOW_CONFIDENCE = "low_confidence"  # a hosted run's own word for its answer, below what the job wants
    REJECTED = "rejected"  # 400, 413, 422: our request is at fault
    BAD_ROW = "bad_row"  # the row cannot be asked; no call was made
    POISONED = "poisoned"  # the process died each time that the row was under way; no call was made
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    OUT_OF_CREDIT = "out_of_credit"
    GIVEN_UP = "given_up"  # a hosted run did not end in its time; it goes on there, and can be taken up again
    RUN_FAILED = "run_failed"  # a hosted run ended in an error, and may be charged all the same
    CIRCUIT_OPEN = "circuit_open"  # the model is down, and was left alone; no call was made
    CANCELLED = "cancelled"  # the batch was ended while the row was under way

    @property
    def budget(self) -> Budget | None:
        """The budget that another try on the same model is taken from; None: no other try."""
        return _RULES[self].budget

    @property
    def worth_another_model(self) -> bool:
        """Whether the fallback may do better."""
        return _RULES[self].another_model

    @property
    def ends_batch(self) -> bool:
        """Whether every further row would fail alike."""
        return _RULES[self].ends_batch


_RULES = {
    FailureKind.RATE_LIMITED: _Rule(Budget.RATE_LIMITED, another_model=True, ends_batch=False),
    FailureKind.SERVER_ERROR: _Rule(Budget.TRANSIENT, another_model=True, ends_batch=False),
    FailureKind.TIMEOUT: _Rule(Budget.TRANSIENT, another_model=True, ends_batch=False),
    FailureKind.CONNECTION: _Rule(Budget.TRANSIENT, another_model=True, ends_batch=False),
    FailureKind.BROKEN_REPLY: _Rule(Budget.TRANSIENT, another_model=True, ends_batch=False),
    FailureKind.INVALID_OUTPUT: _Rule(Budget.CONTENT, another_model=True, ends_batch=False),
    FailureKind.REFUSED: _Rule(None, another_model=True, ends_batch=False),
    FailureKind.LENGTH: _Rule(None, another_model=True, ends_batch=False),
    FailureKind.LOW_CONFIDENCE: _Rule(None, another_model=True, ends_batch=False),
    FailureKind.GIVEN_UP: _Rule(None, another_model=False, ends_batch=False),
    FailureKind.RUN_FAILED: _Rule(None, another_model=True, ends_batch=False),
    FailureKind.CIRCUIT_OPEN: _Rule(None, another_model=True, ends_batch=False),
    FailureKind.REJECTED: _Rule(None, another_model=False, ends_batch=False),
    FailureKind.BAD_ROW: _Rule(None, another_model=False, ends_batch=False),
    FailureKind.POISONED: _Rule(None, another_model=False, ends_batch=False),
    FailureKind.UNAUTHORIZED: _Rule(None, another_model=False, ends_batch=True),
    FailureKind.FORBIDDEN: _Rule(None, another_model=False, ends_batch=True),
    FailureKind.UNKNOWN_MODEL: _Rule(None, another_model=False, ends_batch=True),
    FailureKind.OUT_OF_CREDIT: _Rule(None, another_model=False, ends_batch=True),
    FailureKind.CANCELLED: _Rule(None, another_model=False, ends_batch=False),
}

ANY_FAILURE = frozenset(kind for kind in FailureKind if kind.worth_another_model)
"""All that a fallback may cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exchange that gave no usable answer."""

    kind: FailureKind
    message: str
    http_status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None  # seconds the provider asked for
    usage: Usage | None = None  # a refusal or an invalid answer is billed all the same
    text: str | None = None  # what came back instead, cut to a readable length
    model: str | None = None  # as the provider named it
    maybe_billed: bool = False  # an answer may have been made that never arrived whole
    remote: RemoteRun | None = None  # what a hosted task tells of its failed run

    @property
    def reason(self) -> str:
        """Kind and message in one line, as it is reported of a run."""
        return f"{self.kind.value}: {self.message}" if self.message else self.kind.value
