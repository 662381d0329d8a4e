"""The kinds of value that a configuration file may hold."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAPPING: Final = "<mapping>"
FLAG: Final = "<flag>"
TEXT: Final = (
    "<text>"  # no key is called so, which is how an error's path is told from a choice between kinds
)
_NAME: Final = re.compile(r"[^\W_][\w.-]{0,63}")


CLOSED: Final = ConfigDict(hide_input_in_errors=True, json_schema_extra={"additionalProperties": False})
"""For a mapping whose keys are names: an editor then marks a key that can be none."""


class Keys(BaseModel):
    """A mapping with known keys; a known one that has no value is as good as absent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: item for key, item in value.items() if item is not None or key not in known}


def kind_of(value: object) -> str:
    """Which of the two forms of a value was written: a mapping, or the short one."""
    return MAPPING if isinstance(value, (Mapping, BaseModel)) else TEXT


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "name", "must be 1 to 64 letters, digits, '_', '-' or '.', the first a letter or digit"
        )
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("decimal_type", "must be a number")
    try:
        return Decimal(str(value))  # by way of its shortest text, so that 0.1 is a tenth
    except InvalidOperation:  # pragma: no cover  # a document holds finite numbers only
        raise PydanticCustomError("decimal_type", "must be a number") from None


Text = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str,
    AfterValidator(_named),
    WithJsonSchema({"type": "string", "pattern": r"^[^\W_][\w.-]{0,63}$"}),
]
Count = Annotated[int, Field(ge=1)]
Workers = Annotated[int, Field(ge=1, le=1_000)]
Tries = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Dollars = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(ge=0),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Parameters = dict[str, Any]


class Column(Keys):
    """The value of a column, whatever its name."""

    column: Text = Field(description="Name of the column")


Label = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[Column, Tag(MAPPING)],
    Discriminator(kind_of),
]
"""A constant, a template over the row's columns, or a column."""


def _kind_of_switch(value: object) -> str:
    return FLAG if isinstance(value, bool) else kind_of(value)


Switch = Annotated[
    Annotated[bool, Tag(FLAG)] | Annotated[Text, Tag(TEXT)] | Annotated[Column, Tag(MAPPING)],
    Discriminator(_kind_of_switch),
]
"""True or false for all rows, or for each row what a template or a column says."""
