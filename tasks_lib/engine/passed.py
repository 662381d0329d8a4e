"""A call that was let in."""

from dataclasses import dataclass

from tasks_lib.engine.adaptive import Ticket


@dataclass(slots=True)
class Passed:
    """When a call was let in, and what was taken for it; to be given back to the gate when it has ended."""

    at: float  # of the gate's clock
    input_tokens: float
    output_tokens: float
    day: float | None  # on which it was counted; None: days are not counted
    ticket: Ticket | None
