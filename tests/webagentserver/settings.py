"""Webagent's own settings, beside the shared faults and limits; `lat` is how long an agent takes."""

from dataclasses import dataclass

from tests.llmserver.faults import Settings as Faults
from tests.rightbrainserver.told import Told, Whom, probability, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Whom):
    """What only a Webagent server can be told."""

    key: str = setting("", "the cloud's x-api-key that is expected; nothing takes any")
    marker: str = setting("", "regular expression whose group is a prompt's marker; nothing: its row_id")
    failure: float = probability("of an agent that ends without success")
    unfinished: float = probability("of an agent that stops at its step limit: ended, and not is_done")
    vague: float = probability("of an agent that ends with is_successful null")
    crash: float = probability("of an agent that raises: a 500, or a run that is never done")
    never: float = probability("of an agent that never ends")
    concurrency: int = setting(0, "browsers at once, beyond which an agent crashes (1: one debugging port)")
    steps: int = setting(2, "steps of a history")
    modern: int = setting(1, "0: actions lack the three newer fields", most=1)
    screenshots: int = setting(0, "1: steps in the database have a screenshot", most=1)
    redone: float = probability("of a replayed step that AI does again")
    background: str = setting(
        "ids", "what a background start answers: two ids, or all fields", among="ids full"
    )
    result_as: str = setting("text", "how the cloud tells a result under a schema", among="text object")
    gateway_s: float = setting(
        0.0, "seconds after which a gateway answers 504 while the run goes on; 0 is off"
    )
    read_ms: float = setting(0.0, "milliseconds that a reading takes")
    read_fails: float = probability("of a 500 to any reading")


DEFAULTS = Told(faults=Faults(ra_mode="none"), own=Settings())
"""What holds when nothing is told."""
