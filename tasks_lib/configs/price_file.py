"""What a prices file may say."""

from typing import Annotated

from pydantic import AfterValidator, Field, RootModel, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import CLOSED, Dollars, Keys


def _pattern(value: str) -> str:
    provider, colon, name = value.partition(":")
    if not (provider and colon and name) or "*" in value[:-1]:
        raise PydanticCustomError(
            "pattern",
            "must be of the form provider:name, and may end with * to mean every name that begins so",
        )
    return value


Pattern = Annotated[
    str, AfterValidator(_pattern), WithJsonSchema({"type": "string", "pattern": r"^[^:*]+:[^*]*\*?$"})
]


class TokenPrices(Keys):
    """Dollars for a million tokens, and for a call itself."""

    input: Dollars = Field(description="Dollars for a million input tokens")
    output: Dollars = Field(description="Dollars for a million output tokens")
    cached_input: Dollars | None = Field(
        default=None, description="Dollars for a million input tokens that were cached; as input by default"
    )
    cache_write: Dollars | None = Field(
        default=None,
        description="Dollars for a million input tokens that were written into a cache; as input by default. "
        "Bundled prices are those of a cache that lasts five minutes; for one of an hour, say its price here",
    )
    request: Dollars | None = Field(
        default=None,
        description="Dollars for a call itself; 0 by default. With input: 0 and output: 0 it is the whole "
        "price, as of models for pictures and speech whose answers do not tell how many tokens they used",
    )


class StepFile(TokenPrices):
    """The prices from a length of the prompt on."""

    from_tokens: Annotated[int, Field(ge=1)] = Field(
        alias="from", description="Number of input tokens from which these prices hold for the whole call"
    )


class PriceFile(TokenPrices):
    """The prices of a model, or of all whose names begin alike."""

    steps: list[StepFile] = Field(default_factory=list, description="Other prices for longer prompts")


class PricesFile(RootModel[dict[Pattern, PriceFile]]):
    """Prices by model, as provider:name or provider:beginning*; they win over the bundled ones."""

    model_config = CLOSED
