"""Who is measured: rowmill, five peers and two floors."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system, and what has to be known of it to measure it fairly."""

    name: str
    driver: str | None
    """Its module in `drivers`; None for the two that have a program of their own."""
    pace: int
    """Rows a second that one core of it manages at best, roughly: only the number of rows follows from it."""
    requirements: Path | None = None
    """What is installed for it; None if it is in the environment of rowmill itself."""
    limit: str | None = None
    """How it is told a limit of requests a minute; None if it knows none."""
    waits_its_own: str | None = None
    """What is set for it, other than the default, so that it survives 429s in time."""
    paces_its_own: str | None = None
    """What is set for it, other than the default, so that it keeps a limit of requests a minute."""
    recovers: str | None = None
    """By what it knows the answers of a run that died; None if it keeps nothing."""

    @property
    def is_floor(self) -> bool:
        """It only makes calls: no retries, limits or store."""
        return self.recovers is None


def _peer(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"


SYSTEMS = (
    System(name="rowmill", driver=None, pace=2_000, limit="requests_per_minute", recovers="its ledger"),
    System(
        name="async-batch-llm",
        driver="async_batch_llm",
        pace=400,
        requirements=_peer("async-batch-llm"),
        limit="max_requests_per_minute",
        waits_its_own="a cooldown of 1 s and no slow start in place of 300 s and 50 slow items",
        paces_its_own="a burst of 1 s of its limit in place of a full minute of it",
        recovers="its SQLite store",
    ),
    System(
        name="flexllm",
        driver="flexllm",
        pace=1_500,
        requirements=_peer("flexllm"),
        limit="max_qps, a sixtieth of it a second",
        recovers="its JSONL file",
    ),
    System(
        name="bespokelabs-curator",
        driver="curator",
        pace=300,
        requirements=_peer("bespokelabs-curator"),
        limit="max_requests_per_minute",
        recovers="its working directory",
    ),
    System(
        name="ondine",
        driver="ondine",
        pace=150,
        requirements=_peer("ondine"),
        limit="with_rate_limit",
        recovers="a checkpoint, written when a run fails but not when it is killed",
    ),
    System(name="accrue", driver="accrue", pace=300, requirements=_peer("accrue"), recovers="its cache"),
    System(name="bare-pyreqwest", driver=None, pace=5_000),
    System(name="httpx-gather", driver="httpx_gather", pace=100),
)
