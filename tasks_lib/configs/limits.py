"""Limits that are given while a batch runs, checked as those of a file are."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from tasks_lib.configs.job_file import LimitsFile
from tasks_lib.configs.providers import limits_of
from tasks_lib.domain.job import Limits
from tasks_lib.domain.mistake import Mistake


def limits_given(values: Mapping[str, Any]) -> Limits:
    """Limits by their names; None is no limit, dollars may be text.

    Raises:
        Mistake: a name is unknown, or a value is none that it can have.
    """
    try:
        return limits_of(LimitsFile.model_validate({name: _read(name, one) for name, one in values.items()}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(LimitsFile.model_fields)
            raise Mistake(f"there is no limit {name!r}. The limits are {known}.") from error
        raise Mistake(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def _read(name: str, value: object) -> object:
    if not (isinstance(value, str) and name.startswith("max_cost")):
        return value
    try:
        return Decimal(value.removeprefix("$"))
    except InvalidOperation:
        return value
