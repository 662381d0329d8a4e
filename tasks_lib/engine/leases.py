"""What workers elsewhere and the batch's own process tell each other of calls and money.

A lease is the right to make one call, for a moment: the gate and the money stay in the batch's own process,
and each call is let in there, in the order in which workers ask. So nothing has to be divided again when
workers come, idle, slow down or die, and a worker that nobody hears of any more can make no call.

Numbers are the worker's own and name one call each, or one sum of money; they are never used twice.
"""

from dataclasses import dataclass
from decimal import Decimal

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.rates import Rates


@dataclass(frozen=True, slots=True)
class Ask:
    """A call wants to be let in at an account, and is likely to use so many tokens."""

    number: int
    account: str  # the provider's name
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that was let in is over; without `made` it was never made, and counts for nothing.

    One that still waits is taken out of the queue by the same word: whoever asked need not know how far
    it is.
    """

    number: int
    made: bool
    kind: FailureKind | None = None  # None: it was answered
    usage: Usage | None = None
    retry_after: float | None = None  # seconds
    worked: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class Heard:
    """What a response has told of an account's limits."""

    account: str
    rates: Rates


@dataclass(frozen=True, slots=True)
class Reserve:
    """A call that may cost so many dollars wants them set aside."""

    number: int
    worst: Decimal
    group: str | None  # the reporting group


@dataclass(frozen=True, slots=True)
class Settle:
    """What was set aside is given back, and so much counts as spent; None: nobody knows.

    A sum that is still waited for is waited for no more.
    """

    number: int
    cost: Decimal | None


Word = Ask | Ended | Heard | Reserve | Settle


@dataclass(frozen=True, slots=True)
class LetIn:
    """The call may be made now; it has waited so many seconds at the gate since its asking came there."""

    number: int
    waited: float


@dataclass(frozen=True, slots=True)
class SetAside:
    """The money is set aside."""

    number: int


@dataclass(frozen=True, slots=True)
class NotSetAside:
    """The money does not hold the call, whatever others give back."""

    number: int
    reason: str
    of_group: bool  # whether other groups may go on


@dataclass(frozen=True, slots=True)
class Room:
    """How things stand at an account, for this worker."""

    account: str
    most_in_flight: int  # a fair part of what all may have, and a little more
    is_adaptive: bool
    counts_tokens: bool
    is_paced: bool  # whether it matters when a call is made, and not only how many are in flight
    closed_for: float  # seconds


@dataclass(frozen=True, slots=True)
class Funds:
    """Whether money has to be asked for at all."""

    are_limited: bool


Answer = LetIn | SetAside | NotSetAside | Room | Funds
