"""Which cell of an account's holds what."""

from tasks_lib.engine.cells import Cells
from tasks_lib.engine.pace import PACE_CELLS
from tasks_lib.engine.quota import DAY_CELLS, TOLD_CELLS
from tasks_lib.engine.window import WINDOW_CELLS

LAYOUT = 1  # its version: another one is another file

REQUESTS, TOKENS, INPUT, OUTPUT = range(4)  # what is counted; TOKENS is input and output together
KINDS = 4
SEATS = 64  # processes that may share an account
LIMITS = 7  # the four a minute, requests and tokens a day, calls in flight

BOOT_HIGH, BOOT_LOW, GENERATION, HIGHEST_SEAT, SEATED, IN_FLIGHT, HEADS_UNTIL = range(7)
CLOSED_UNTIL, RAMP_UNTIL, RAMP_NEXT, RAMP_STEP, TOLD_UNTIL = range(7, 12)
LEARNED = 12  # limits a minute out of headers, one for each kind; 0: none
_TOLD = LEARNED + KINDS
DAY = _TOLD + KINDS * TOLD_CELLS
_PACES = DAY + DAY_CELLS
_WINDOWS = _PACES + KINDS * PACE_CELLS
_SEATS = _WINDOWS + KINDS * WINDOW_CELLS

# A seat's cells, counted from its first.
TAKEN, CALLS, WAITS_SINCE, WAITS_UNTIL, WANTS_INPUT, WANTS_OUTPUT, OWN_LIMITS = range(7)
_SEAT_CELLS = OWN_LIMITS + LIMITS

CELLS = _SEATS + SEATS * _SEAT_CELLS


def private_cells() -> Cells:
    """Cells that nobody else sees."""
    return [0.0] * CELLS


def seat_at(number: int) -> int:
    """The first cell of a seat."""
    return _SEATS + number * _SEAT_CELLS


def pace_at(kind: int) -> int:
    """The first cell of a kind's pace."""
    return _PACES + kind * PACE_CELLS


def window_at(kind: int) -> int:
    """The first cell of a kind's window."""
    return _WINDOWS + kind * WINDOW_CELLS


def told_at(kind: int) -> int:
    """The first cell of what the provider told of a kind."""
    return _TOLD + kind * TOLD_CELLS
