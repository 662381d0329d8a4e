"""The errors of a FastAPI application: a sentence, or a list of what does not validate."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.rightbrainserver.wire import Reply, said


class Fault(NamedTuple):
    """One thing that does not validate."""

    where: tuple[str | int, ...]
    message: str
    rule: str


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str | Sequence[Fault]) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def reply(self) -> Reply:
        """The answer."""
        if isinstance(self.detail, str):
            return said(self.status, {"detail": self.detail})
        faults = [{"type": f.rule, "loc": f.where, "msg": f.message, "input": None} for f in self.detail]
        return said(self.status, {"detail": faults})
