"""How things stand at a gate."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks_lib.engine.adaptive import AdaptiveState


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """A gate at one moment, for whoever looks on. Limits go by their names in `Limits`."""

    in_flight: int
    most_in_flight: int
    waiting: int
    head_waits: float  # seconds until who is first in the queue is let in; 0: nobody waits; inf: nobody knows
    waits_for: (
        str | None
    )  # what keeps the first waiting: a limit's name, in_flight, pause, retry_after, pace, turn
    paused: bool  # by the user
    closed_for: float  # seconds, since the provider asked for it
    limits: Mapping[str, float]  # in force
    learned: Mapping[str, float]  # those out of response headers
    left: Mapping[str, float]  # a burst's requests, a minute's tokens, a day's: what may still pass now
    adaptive: AdaptiveState | None
    processes: int  # that use this account on this machine, this one included
    in_flight_of_all: int  # calls of all of them
