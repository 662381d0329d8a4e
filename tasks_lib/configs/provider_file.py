"""What a providers file may say."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import CLOSED, Keys, Name, Seconds, Text
from tasks_lib.configs.job_file import LimitsFile
from tasks_lib.configs.problems import looks_like_a_secret

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LATER: Final = ("anthropic", "google", "parallel", "rightbrain", "webagent")


def checked_variable(value: str) -> str:
    """The name of a variable; what may be a key itself is refused without being repeated."""
    if not _VARIABLE.fullmatch(value) or looks_like_a_secret(value):
        raise PydanticCustomError(
            "variable",
            "must be the name of a variable of the environment, such as OPENAI_API_KEY, and never a key. "
            "Put the key itself into that variable.",
        )
    return value


def checked_url(value: str) -> str:
    """An address that paths can be added to."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when it is none
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url or re.search(r"\s", value):
        raise PydanticCustomError("url", "must be an address such as https://api.openai.com/v1")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("url", "must hold no user name and no password")
    if parts.query or parts.fragment:
        raise PydanticCustomError("url", "must end with its path, without '?' or '#'")
    return value.rstrip("/")


def _supported(value: object) -> object:
    if value in _LATER:
        raise PydanticCustomError(
            "protocol",
            "is '{protocol}', which is not supported by this version: it knows openai and local",
            {"protocol": value},
        )
    return value


Variable = Annotated[
    str,
    AfterValidator(checked_variable),
    WithJsonSchema({"type": "string", "pattern": f"^{_VARIABLE.pattern}$"}),
]
Address = Annotated[str, AfterValidator(checked_url), WithJsonSchema({"type": "string", "format": "uri"})]


class TimeoutsFile(Keys):
    """How long is waited, in seconds."""

    connect: Seconds | None = Field(default=None, description="Seconds to connect; 10 by default")
    total: Seconds | None = Field(default=None, description="Seconds for a whole exchange; 120 by default")


class ProviderFile(Keys):
    """An API and our account with it. What is not said is as the built-in provider of that name has it."""

    protocol: Annotated[Literal["openai", "local"], BeforeValidator(_supported)] | None = Field(
        default=None, description="What is spoken there: openai (chat completions, the default), or local"
    )
    base_url: Address | None = Field(
        default=None,
        description="The address that /chat/completions is added to. The variable NAME_BASE_URL, with the "
        "provider's name in capitals, wins over it",
    )
    key: Variable | None = Field(
        default=None, description="Name of the variable that holds the key, never the key itself"
    )
    limits: LimitsFile | None = Field(default=None, description="The account's limits")
    timeouts: TimeoutsFile | None = Field(default=None, description="How long is waited")
    structured_output: Literal["json_schema", "json_object", "prompt"] | None = Field(
        default=None,
        description="How a schema is asked for: json_schema (the API constrains the answer to it; the "
        "default), json_object (the API makes JSON, the schema goes into the prompt) or prompt (only that)",
    )
    max_tokens_field: Text | None = Field(
        default=None, description="What the API calls the parameter max_tokens; max_tokens by default"
    )
    model_path: Text | None = Field(
        default=None, description="The GGUF file of a local model, relative to this file"
    )
    free: bool | None = Field(default=None, description="Whether its tokens cost nothing")


def _or_nothing(value: object) -> object:
    return {} if value is None else value


class ProvidersFile(RootModel[dict[Name, Annotated[ProviderFile, BeforeValidator(_or_nothing)]]]):
    """Providers by name; each lies over the built-in one of that name, key by key."""

    model_config = CLOSED
