"""An API and our account with it."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

from tasks_lib.domain.job import Limits
from tasks_lib.domain.task import ModelChoice

UNTOLD_MAX_TOKENS = 4_096  # of an answer, where an API wants a bound and the parameters set none


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, without a byte, and in all; and how long a run of a hosted task may take.

    The first three begin when a request is handed to the pool of connections, and none before: waiting for
    the gate is nobody's fault.
    """

    connect: float = 10.0
    read: float | None = None  # of silence before and between bytes; None: as long as `total` allows
    total: float = 120.0
    run: float = 3_600.0  # from its start to its end, however many requests that takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a provider's address is reached."""

    proxy: "Secret | None" = None  # its address, with a password perhaps
    ca_bundle: Path | None = None  # PEM; None: the certificates that the system trusts
    http2: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """What the protocols for hosted tasks need to know of an account beside address and key."""

    org_id: str | None = None  # Rightbrain: a UUID
    project_id: str | None = None  # Rightbrain: a UUID
    oauth_client_id: str | None = None  # Rightbrain: the variable's name; with a secret, in place of a key
    oauth_client_secret: str | None = None  # Rightbrain: the variable's name
    oauth_url: str | None = None  # Rightbrain: where tokens are had
    dollars_per_credit: Decimal | None = None  # Rightbrain; None: what its runs cost is not known in dollars
    edition: str = "self_hosted"  # Webagent: or `cloud`


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where a protocol is spoken, under which limits, and the name of the variable that holds its key."""

    name: str
    protocol: str  # openai, anthropic, google or local; parallel, rightbrain or webagent for hosted tasks
    base_url: str
    key: str | None = None  # the variable's name; None: no key is sent
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None  # an address, or the variable that holds one; None: as the environment says
    ca_bundle: Path | None = None  # PEM; None: as the environment says, or as the system does
    http2: bool = False
    idempotency_header: str | None = None  # names a request, so that a second one like it is not paid again
    structured_output: str = "json_schema"  # or json_object, tool, prompt: how a schema is asked for
    max_tokens_field: str = "max_tokens"  # what the API calls the parameter
    carries: frozenset[str] = frozenset()  # user, safety_identifier, metadata, store, labels: its fields
    image_response_format: str | None = None  # asks for a picture within the answer; None: nothing is asked
    model_path: Path | None = None  # of a local model's file
    free: bool = False  # its tokens cost nothing
    hosted: Hosted | None = None  # of the protocols for hosted tasks

    def most_output_tokens(self, choice: ModelChoice) -> int | None:
        """The longest answer that a model may give here; None if nothing bounds it."""
        told = choice.most_output_tokens
        return UNTOLD_MAX_TOKENS if told is None and self.protocol == "anthropic" else told


class Secret:
    """A value that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The value, to be put into a header and nowhere else."""
        return self._value

    def hidden_in(self, text: str) -> str:
        """The text with the value blotted out."""
        return text.replace(self._value, "***") if self._value else text

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not to be written down")
