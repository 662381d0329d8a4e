"""Ages and the stored answers that may have them, as a file tells them."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import FLAG, MAPPING, TEXT, Keys, kind_of
from tasks_lib.domain.stored_answers import StoredAnswers

_AGE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhdw]?)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "": "hours"}
_LONGEST: Final = timedelta(days=36_500)
_ANY: Final = "any"


def _checked(value: str) -> str:
    if value != _ANY and _read(value) is None:
        raise PydanticCustomError("age", "must be an age such as 30d, 12h or 45m, or a number of hours")
    return value


def _read(value: str) -> timedelta | None:
    """None: it is no age."""
    match = _AGE.fullmatch(value.strip())
    if match is None:
        return None
    try:
        age = timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        return None
    return age if timedelta(0) < age <= _LONGEST else None


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Age = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_checked),
    WithJsonSchema({"type": ["string", "number"]}),
]


class StoredAnswersFile(Keys):
    """Which answers of the ledger may stand in for a call."""

    max_age: Age = Field(
        default=_ANY, description="Since the answer was given: 30d, 12h, 45m, a number of hours, or any"
    )


def _kind(value: object) -> str:
    return FLAG if isinstance(value, bool) else kind_of(value)


StoredAnswersKey = Annotated[
    Annotated[bool, Tag(FLAG)] | Annotated[Age, Tag(TEXT)] | Annotated[StoredAnswersFile, Tag(MAPPING)],
    Discriminator(_kind),
]


def stored_answers_of(told: bool | str | StoredAnswersFile) -> StoredAnswers | None:
    """Which answers may stand in for a call; None: none."""
    if isinstance(told, bool):
        return StoredAnswers() if told else None
    age = told.max_age if isinstance(told, StoredAnswersFile) else told
    return StoredAnswers(max_age=_read(age))
