"""A job's workers on other machines: who starts them, and where they call in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from prefect.settings import PREFECT_API_URL

from flows.engines import check_installed, engine_of
from flows.worker_runs import WorkerRuns
from tasks_lib.domain.job import Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.spread import Spread
from tasks_lib.engine.stop import Stop
from tasks_lib.job.workers.by_hand import ByHand
from tasks_lib.job.workers.listening import LOOPBACK, check_answers, host_of, is_this_machine, listen_of
from tasks_lib.job.workers.recruiting import Listen, Recruiter

_API: Final = (
    "Start a server that they reach (prefect server start --host ADDRESS), and set "
    "PREFECT_API_URL=http://ADDRESS:4200/api."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreading:
    """Who starts workers, and where they call in; None and None: the batch itself, on its own machine."""

    recruiter: Recruiter | None = None
    listen: Listen | None = None


def spreading_of(
    job: Job, *, stop: Stop, warn: Callable[[str], None], say: Callable[[str], None]
) -> Spreading:
    """Who starts a job's workers; to be called within the flow, once for each batch.

    Raises:
        Mistake: it cannot be done from here; see `check_spread`.
    """
    spread = job.spread
    if spread is None:
        return Spreading()
    check_spread(spread)
    if spread.tickets is not None:
        return Spreading(recruiter=ByHand(spread.tickets, say=say), listen=listen_of(spread))
    engine = engine_of(spread, workers=job.workers)
    return Spreading(recruiter=WorkerRuns(engine, stop=stop, warn=warn), listen=listen_of(spread))


def check_spread(spread: Spread | None) -> None:
    """Nothing, if workers can be started as a job says, as far as that can be known from here.

    Raises:
        Mistake: an engine is not installed, workers elsewhere do not reach Prefect, or nobody answers at the
            cluster's address.
    """
    if spread is None or spread.is_by_hand:
        return
    check_installed(spread)
    _check_api(spread)
    if spread.address is not None:
        check_answers(spread.address)


def _check_api(spread: Spread) -> None:
    """Workers report to Prefect, wherever they are."""
    cluster = host_of(spread.address) if spread.address is not None else LOOPBACK
    if cluster is None or is_this_machine(cluster):
        return
    url = PREFECT_API_URL.value()
    if url is None:
        raise Mistake(
            f"workers at {spread.address} report to Prefect, and no Prefect API is configured. {_API}"
        )
    host = urlsplit(url).hostname
    if host is not None and is_this_machine(host):
        raise Mistake(f"workers at {spread.address} do not reach the Prefect API at {url}. {_API}")
