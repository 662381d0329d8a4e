"""Many values of one dataclass as columns, which take a fraction of the time to be sent.

What one batch sends in one frame is mostly alike: its plans share their revision, its models and its retries,
and most of its counts are zero. Each such field goes once, the others as lists; a value on its own takes
Python code for each field on either side.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from operator import attrgetter, is_
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Packed(Generic[T]):
    """So many values of a slotted dataclass."""

    kind: type[T]
    count: int
    shared: tuple[tuple[str, Any], ...]  # field, and the one object that all have there
    columns: tuple[tuple[str, list[Any]], ...]  # field, and what each has there

    def unpacked(self) -> tuple[T, ...]:
        """The values, as they were."""
        made = tuple(map(object.__new__, repeat(self.kind, self.count)))
        for name, value in self.shared:
            deque(map(_setter(self.kind, name), made, repeat(value)), maxlen=0)
        for name, column in self.columns:
            deque(map(_setter(self.kind, name), made, column), maxlen=0)
        return made


def packed(kind: type[T], values: Sequence[T]) -> Packed[T]:
    """The values of a slotted dataclass as columns; none of them may be of a subclass."""
    shared: list[tuple[str, Any]] = []
    columns: list[tuple[str, list[Any]]] = []
    for one in fields(cast("Any", kind)):
        column = list(map(attrgetter(one.name), values))
        if column and all(map(is_, column, repeat(column[0]))):
            shared.append((one.name, column[0]))
        else:
            columns.append((one.name, column))
    return Packed(kind, len(values), tuple(shared), tuple(columns))


def _setter(kind: type, name: str) -> Callable[[object, object], None]:
    """Sets a slot of a value, frozen or not, that nobody has seen yet."""
    setter: Callable[[object, object], None] = getattr(kind, name).__set__
    return setter
