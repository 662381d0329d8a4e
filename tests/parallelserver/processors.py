"""The processors, what a run of each costs, and how many fields each is good for."""

from typing import Final

_STANDARD: Final = {
    "lite": (5, 2),
    "base": (10, 5),
    "core": (25, 10),
    "core2x": (50, 10),
    "pro": (100, 20),
    "ultra": (300, 20),
    "ultra2x": (600, 25),
    "ultra4x": (1_200, 25),
    "ultra8x": (2_400, 25),
}
_FAST: Final = {f"{name}-fast": told for name, told in _STANDARD.items()}
_ALL: Final = _STANDARD | _FAST
NAMES: Final = frozenset(_ALL)
_SILENT: Final = ("lite", "base", "core")


def price(processor: str) -> int:
    """What a run costs, in thousandths of a US dollar."""
    return _ALL[processor][0]


def fields_max(processor: str) -> int:
    """How many output fields are recommended at most."""
    return _ALL[processor][1]


def tells_progress(processor: str) -> bool:
    """Whether events are on unless a request says otherwise: from pro on."""
    return not processor.startswith(_SILENT)


def is_fast(processor: str) -> bool:
    """Whether it is a -fast variant, which knows no data sources."""
    return processor in _FAST
