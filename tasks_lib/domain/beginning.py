"""With which of its models a row begins."""

from collections.abc import Mapping
from typing import Final

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.task import Revision
from tasks_lib.domain.template import Template

_YES: Final = frozenset({"true", "1", "yes"})
_NO: Final = frozenset({"false", "0", "no", ""})


def beginning(
    wish: Template | None, values: Mapping[str, JsonValue], revision: Revision
) -> tuple[int, Failure | None]:
    """The place in the revision's models to begin at, and what is wrong with the row's wish, if anything is.

    `wish` says of each row whether its primary is to be passed over: true, 1 or yes, false, 0, no or nothing.
    """
    if wish is None:
        return 0, None
    told = wish.render(values).strip().lower()
    if told in _NO:
        return 0, None
    if told not in _YES:
        return 0, _bad_row(f"use_fallback_model is {told[:40]!r}, which is neither true nor false")
    if len(revision.models) == 1:
        return 0, _bad_row(f"use_fallback_model is true, and revision {revision.tag!r} has no fallback")
    return 1, None


def _bad_row(message: str) -> Failure:
    return Failure(kind=FailureKind.BAD_ROW, message=message)
