"""Rightbrain's own settings, beside the shared faults and limits."""

from dataclasses import dataclass

from tests.llmserver.faults import Settings as Faults
from tests.rightbrainserver.told import Told, Whom, probability, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Whom):
    """What only a Rightbrain server can be told."""

    key: str = setting("", "the plain bearer token that is expected; nothing takes any")
    client_id: str = setting("rowmill", "OAuth client id")
    client_secret: str = setting("pretend", "OAuth client secret")
    token_s: float = setting(3600.0, "seconds that an OAuth token lives")
    token_uses: int = setting(0, "calls after which an OAuth token is revoked; 0 is off")
    envelope: str = setting("detail", "shape of an application's error", among="detail error")
    is_error: float = probability("of a 200 whose run is an error (charged)")
    primary_fails: float = probability("of a failure of the primary model: fallback, or an error without one")
    llm_retries: int = setting(0, "retries that every run tells of")
    credits: str = setting("1.00", "credits that a run is charged; nothing is null")
    tokens_in: int = setting(0, "input tokens of a run; 0 counts the prompt")
    modern: int = setting(1, "0: a run has the 23 fields of the reference page and no newer one", most=1)
    nulls: int = setting(0, "1: fields that may be null are, in place of their defaults", most=1)
    groups: str = setting("create", "what becomes of an unknown reporting group", among="create refuse")
    csv_as: str = setting("file", "how a csv task answers", among="file text")
    bad_file: float = probability("of a produced file that is not of its type")
    gateway_s: float = setting(
        0.0, "seconds after which a gateway answers 504 while the run goes on; 0 is off"
    )
    list_lag: float = setting(0.0, "seconds after its end at which a run is listed")
    list_ms: float = setting(0.0, "milliseconds that a listing takes")
    read_ms: float = setting(0.0, "milliseconds that any other reading takes")
    read_fails: float = probability("of a 503 to any reading")
    pages_lost: float = probability("of a listing whose connection is cut")


DEFAULTS = Told(faults=Faults(ra_mode="none"), own=Settings())
"""What holds when nothing is told; a 429 of this API says no Retry-After."""
