"""What a caller in the same process hands to the flow beside its plain parameters, and gets back."""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from tasks_lib.engine.stop import Stop
from tasks_lib.job.batch import CHUNK_ROWS
from tasks_lib.job.tally import Summary, Tally


@dataclass(slots=True, kw_only=True)
class Handed:
    """Filled by the flow as it goes; true whatever Prefect makes of the flow run."""

    tally: Tally = field(default_factory=Tally)
    stop: Stop | None = None  # the caller's, who listens to Ctrl-C; None: the flow does
    chunk_rows: int = CHUNK_ROWS
    unshown: Mapping[str, object] = field(default_factory=dict)  # overrides that Prefect would keep and show
    begun: bool = False  # Prefect has called the flow
    flow_run: str | None = None  # its name
    summary: Summary | None = None
    error: Exception | None = None  # a Mistake, or a fault of the program's own
    cancelled: asyncio.CancelledError | None = None


HANDED: ContextVar[Handed | None] = ContextVar("handed", default=None)
