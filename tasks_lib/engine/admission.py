"""What a call asks for leave: the gate of its account, here or elsewhere."""

from collections.abc import Callable
from typing import Protocol

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.engine.gate_state import GateState
from tasks_lib.engine.passed import Passed
from tasks_lib.providers.rates import Rates


class Admission(Protocol):
    """Admission to one provider account: `Gate`, or a lease of calls from a gate in another process."""

    on_change: Callable[[], None] | None  # told when more calls may be in flight than before
    in_flight: int  # calls of this process

    @property
    def most_in_flight(self) -> int:
        """Calls of this process that may be in flight at this moment."""
        ...

    @property
    def is_adaptive(self) -> bool:
        """Whether it is found out how many calls may be in flight."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes keep the account's limits together with this one."""
        ...

    @property
    def closed_for(self) -> float:
        """Seconds for which nobody is let in, since the provider asked for it."""
        ...

    @property
    def counts_tokens(self) -> bool:
        """Whether a forecast of tokens matters."""
        ...

    def enter_at_once(self, *, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Passed | None:
        """As `enter`, if that takes no waiting; else None."""
        ...

    async def enter(self, *, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Passed:
        """Wait for leave to have one call in flight that is likely to use so many tokens."""
        ...

    def leave(self, passed: Passed, outcome: Reply | Failure, *, worked: float) -> None:
        """End a call that entered and took so many seconds."""
        ...

    def give_back(self, passed: Passed) -> None:
        """End a call that entered and was never made."""
        ...

    def hear(self, rates: Rates) -> None:
        """Heed what a response says about the account's limits."""
        ...

    def change(self, limits: Limits) -> None:
        """Keep other limits from now on."""
        ...

    def pause(self) -> None:
        """Let nobody in until `resume`."""
        ...

    def resume(self) -> None:
        """Let calls in again, if the user had stopped them."""
        ...

    def state(self) -> GateState:
        """How things stand."""
        ...
