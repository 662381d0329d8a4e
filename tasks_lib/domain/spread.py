"""Who starts a job's workers, where they are not processes of the batch's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

BY_HAND: Final = "hand"  # it starts nothing: it writes tickets, with which people start workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What starts a job's workers, and where these call in."""

    runner: str  # dask, ray or hand
    address: str | None = None  # of a cluster that is there; None: one on this machine, for the run alone
    host: str | None = None  # where workers are listened for; None: where the cluster is reached from
    port: int = 0  # 0: any that is free
    advertise: tuple[str, ...] = ()  # by which workers call, where it is not by `host`
    tickets: Path | None = None  # a folder, where they are started by hand

    @property
    def is_by_hand(self) -> bool:
        """Whether people start the workers."""
        return self.runner == BY_HAND
