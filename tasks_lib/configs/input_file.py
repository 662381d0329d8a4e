"""What a task file may say of files and processors, and a job file of where files come from."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import MAPPING, TEXT, Column, Keys, Text
from tasks_lib.domain.hosts import AllowedHost

_LIST: Final = "<list>"  # see TEXT

FileModeName = Literal["none", "image", "pdf", "image_or_pdf", "any"]


class ProcessorFile(Keys):
    """What is made of a placeholder's value before the prompts are rendered."""

    param_name: Text = Field(description="The placeholder: its value goes in, and what comes out replaces it")
    input_processor: Text = Field(
        description="url_fetcher, document_content_extractor, or one that an installed package brings"
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="For the built-in ones: fallback_text, which stands in for what could not be had, and "
        "max_characters (100,000 by default)",
    )


def _host(value: str) -> str:
    try:
        AllowedHost.parse(value)
    except ValueError:
        raise PydanticCustomError(
            "host",
            "must be a host such as example.com or *.example.com, with http:// before it if it is not https",
        ) from None
    return value


def _form(value: object) -> str:
    if isinstance(value, list | tuple):
        return _LIST
    return MAPPING if isinstance(value, (Mapping, BaseModel)) else TEXT


Host = Annotated[str, AfterValidator(_host)]
FileColumns = Annotated[
    Annotated[Text, Tag(TEXT)]
    | Annotated[Column, Tag(MAPPING)]
    | Annotated[list[Text], Field(min_length=1), Tag(_LIST)],
    Discriminator(_form),
]
"""A column, or a list of columns."""


def columns_told(told: str | Column | list[str] | None) -> tuple[str, ...]:
    """The columns, in whichever way the file tells them."""
    if told is None:
        return ()
    if isinstance(told, Column):
        return (told.column,)
    return (told,) if isinstance(told, str) else tuple(told)
