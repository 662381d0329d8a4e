"""What a providers file may say."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import CLOSED, Dollars, Keys, Name, Seconds, Text
from tasks_lib.configs.job_file import LimitsFile
from tasks_lib.configs.places import VARIABLE, Address, Variable
from tasks_lib.configs.problems import looks_like_a_secret
from tasks_lib.domain.hosted_tasks import is_uuid

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_TAKEN: Final = frozenset(
    [
        *("authorization", "x-api-key", "x-goog-api-key", "anthropic-version"),
        *("content-type", "content-length", "host", "accept", "user-agent"),
    ]
)
PROXY_SCHEMES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_UUID: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def checked_proxy(value: str) -> str:
    """The address of a proxy, or the name of the variable that holds one with its password."""
    if VARIABLE.fullmatch(value) and not looks_like_a_secret(value):
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when it is none
        is_proxy = parts.scheme in PROXY_SCHEMES and bool(parts.hostname)
    except ValueError:
        is_proxy = False
    if not is_proxy or re.search(r"\s", value):
        raise PydanticCustomError(
            "proxy",
            "must be an address such as http://proxy.example.com:3128, or the variable that holds one",
        )
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError(
            "proxy",
            "must hold no user name and no password. Put the whole address into a variable of the "
            "environment, and write that variable's name here.",
        )
    return value


def _header_name(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower() in _TAKEN:
        raise PydanticCustomError("header", "must be the name of a header, such as Idempotency-Key")
    return value


def _uuid_or_variable(value: str) -> str:
    if is_uuid(value):
        return value.lower()
    if VARIABLE.fullmatch(value) and not looks_like_a_secret(value):
        return value
    raise PydanticCustomError(
        "uuid",
        "must be a UUID such as 7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18, or the name of a variable of the "
        "environment that holds one",
    )


ProxyAddress = Annotated[str, AfterValidator(checked_proxy), WithJsonSchema({"type": "string"})]
HeaderName = Annotated[
    str,
    AfterValidator(_header_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_HEADER.pattern}$"}),
]

UuidOrVariable = Annotated[
    str,
    AfterValidator(_uuid_or_variable),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_UUID}|{VARIABLE.pattern})$"}),
]


class TimeoutsFile(Keys):
    """How long is waited, in seconds."""

    connect: Seconds | None = Field(default=None, description="Seconds to connect; 10 by default")
    read: Seconds | None = Field(
        default=None,
        description="Seconds of silence, before the answer or within it; by default as many as `total` "
        "allows, since most models say nothing before they have said it all",
    )
    total: Seconds | None = Field(
        default=None,
        description="Seconds for a whole call, from the moment it is let through; 120 by default",
    )
    run: Seconds | None = Field(
        default=None,
        description="Seconds for a run of a hosted task, from its start to its end, however many requests "
        "that takes; 3600 by default. A run that has not ended by then is given up: it goes on there, and "
        "the next batch takes it up again",
    )


class ProviderFile(Keys):
    """An API and our account with it. What is not said is as the built-in provider of that name has it."""

    protocol: (
        Literal["openai", "anthropic", "google", "local", "parallel", "rightbrain", "webagent"] | None
    ) = Field(
        default=None,
        description="What is spoken there: openai (chat completions, the default), anthropic (messages; an "
        "answer has 4,096 tokens at most where parameters.max_tokens does not say), google "
        "(generateContent), or local; or, where a row is a run of a hosted task, parallel (Parallel's Task "
        "API: the model is a processor), rightbrain or webagent (the model is the id of a task there)",
    )
    base_url: Address | None = Field(
        default=None,
        description="The address that the protocol's paths, such as /chat/completions, are added to. The "
        "variable NAME_BASE_URL, with the provider's name in capitals, wins over it",
    )
    key: Variable | None = Field(
        default=None, description="Name of the variable that holds the key, never the key itself"
    )
    limits: LimitsFile | None = Field(default=None, description="The account's limits")
    timeouts: TimeoutsFile | None = Field(default=None, description="How long is waited")
    proxy: ProxyAddress | None = Field(
        default=None,
        description="The proxy on the way there: its address, or the name of a variable that holds it with "
        "user and password. By default the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say",
    )
    ca_bundle: Text | None = Field(
        default=None,
        description="A PEM file of the certificates to trust in place of the system's, relative to this "
        "file. By default the variable SSL_CERT_FILE says",
    )
    http2: bool | None = Field(
        default=None,
        description="Whether to speak HTTP/2 where it is offered; false by default. One connection then "
        "carries all calls, and those beyond what the server allows on it (100 is usual) wait in line unseen",
    )
    idempotency_header: HeaderName | None = Field(
        default=None,
        description="The header by which this API knows a request again, such as Idempotency-Key, so that "
        "one sent again after a lost answer is not paid twice; by default none, as at OpenAI and Anthropic",
    )
    structured_output: Literal["json_schema", "json_object", "tool", "prompt"] | None = Field(
        default=None,
        description="How a schema is asked for: json_schema (the API constrains the answer to it; the "
        "default), json_object (the API makes JSON, the schema goes into the prompt), tool (the answer is a "
        "call of a tool with that schema; with protocol anthropic only, for older models and for schemas "
        "that it cannot be held to) or prompt (the schema goes into the prompt, and nothing else)",
    )
    max_tokens_field: Text | None = Field(
        default=None, description="What the API calls the parameter max_tokens; max_tokens by default"
    )
    carries: list[Literal["user", "safety_identifier", "metadata", "store", "labels"]] | None = Field(
        default=None,
        description="The fields this API has for what a job's `carry` names: user or safety_identifier, and "
        "metadata; with store, `store: true` goes with metadata, which OpenAI wants. With protocol google "
        "metadata goes as labels. By default none, since many APIs refuse fields they do not know",
    )
    image_response_format: Literal["b64_json", "base64", "url"] | None = Field(
        default=None,
        description="What the parameter response_format of /images/generations is, where the API has it. By "
        "default it is not sent (but b64_json to DALL-E), and a picture told by its address is fetched",
    )
    model_path: Text | None = Field(
        default=None, description="The GGUF file of a local model, relative to this file"
    )
    free: bool | None = Field(default=None, description="Whether its tokens cost nothing")
    org_id: UuidOrVariable | None = Field(
        default=None,
        description="The organisation that the tasks belong to, with protocol rightbrain: a UUID, or the "
        "name of a variable that holds one",
    )
    project_id: UuidOrVariable | None = Field(
        default=None,
        description="The project that the tasks belong to, with protocol rightbrain: a UUID, or the name of "
        "a variable that holds one",
    )
    oauth_client_id: Variable | None = Field(
        default=None,
        description="Name of the variable that holds the id of an OAuth client, with protocol rightbrain. "
        "Where `key` is not set, tokens are had with it, and had anew when they end",
    )
    oauth_client_secret: Variable | None = Field(
        default=None, description="Name of the variable that holds that client's secret, never the secret"
    )
    oauth_url: Address | None = Field(
        default=None, description="The address at which such tokens are had, with protocol rightbrain"
    )
    dollars_per_credit: Dollars | None = Field(
        default=None,
        description="What a credit costs you, with protocol rightbrain: the cost of a run is then what it "
        "was charged. By default its cost is unknown, as the API tells credits and no price",
    )
    edition: Literal["self_hosted", "cloud"] | None = Field(
        default=None,
        description="Which of the two is spoken with protocol webagent: self_hosted (a server of your own, "
        "the default) or cloud",
    )


def _or_nothing(value: object) -> object:
    return {} if value is None else value


class ProvidersFile(RootModel[dict[Name, Annotated[ProviderFile, BeforeValidator(_or_nothing)]]]):
    """Providers by name; each lies over the built-in one of that name, key by key."""

    model_config = CLOSED
