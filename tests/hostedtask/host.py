"""The pretend task itself: what it was asked, and what it does with it."""

from collections import Counter
from dataclasses import dataclass, field

import orjson


@dataclass
class Run:
    id: str
    identity: str
    text: str
    began_at: float
    seconds: float
    end: dict = field(default_factory=dict)  # what is told besides, once it is over


class Host:
    """Runs take `seconds`; `ends` says by the run's text how one ends, as fields of what is told."""

    def __init__(self, clock, *, seconds=60.0, ends=None):
        self.clock = clock
        self.seconds = seconds
        self.ends = ends or (lambda text: {})
        self.runs: dict[str, Run] = {}
        self.requests: Counter[str] = Counter()

    def answer(self, method: str, path: str, identity: str | None, body: bytes) -> tuple[int, dict]:
        """The status and body of an answer."""
        if method == "POST":
            self.requests["begun"] += 1
            asked = orjson.loads(body)
            run_id = f"run_{len(self.runs) + 1}"
            self.runs[run_id] = Run(
                run_id, asked["identity"], asked["text"], self.clock(), self.seconds, self.ends(asked["text"])
            )
            return 202, {"id": run_id}
        if identity is not None:
            self.requests["looked for"] += 1
            return 200, {"ids": [run.id for run in self.runs.values() if run.identity == identity]}
        self.requests["looked at"] += 1
        run = self.runs.get(path.rsplit("/", 1)[-1])
        if run is None:
            return 404, {}
        if self.clock() - run.began_at < run.seconds:
            return 200, {"id": run.id, "status": "running"}
        return 200, {"id": run.id, "status": "completed", "text": f"said: {run.text}", **run.end}

    def begun_for(self, text: str) -> list[str]:
        """The ids of the runs that were begun with this text."""
        return [run.id for run in self.runs.values() if run.text.endswith(text)]
