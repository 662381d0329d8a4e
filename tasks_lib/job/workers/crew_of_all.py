"""All processes of a batch together, for whoever looks at it and steers it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import anyio

from tasks_lib.domain.job import Limits
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.lessor import Lessor
from tasks_lib.job.accounts import limits_for
from tasks_lib.job.setup import Setup
from tasks_lib.job.steering import CrewHere, account_now
from tasks_lib.job.workers.frames import Act
from tasks_lib.job.workers.member import Member
from tasks_lib.job.workers.own_share import OwnShare
from tasks_lib.live import AccountNow, ModelNow

_BADNESS = ("closed", "half open", "open")


class CrewOfAll:
    """The workers of a batch, whoever they are at any time, and what its own process does itself."""

    def __init__(self, setup: Setup, workers: Sequence[Member]) -> None:
        """What is done before `begin` holds from then on."""
        self._setup = setup
        self._workers = workers
        self._gates: Mapping[str, Gate] = {}
        self._lessor: Lessor
        self._own: OwnShare | None = None
        self._acts, self._to_tell = anyio.create_memory_object_stream[Act](math.inf)
        self.act = Act()  # what the user has done to the batch so far

    def begin(self, gates: Mapping[str, Gate], lessor: Lessor, own: OwnShare | None) -> None:
        """Rows are about to be run.

        Args:
            gates: at which workers ask for leave, by account; none where each has a part of the limits.
            lessor: what lets them in there.
            own: what this process does itself.
        """
        self._gates, self._lessor, self._own = gates, lessor, own
        self._do(self.act)

    async def tell_acts(self) -> None:
        """Tell workers what is done, until `close`."""
        async for act in self._to_tell:
            self._lessor.look()  # there may be other money, too
            for worker in tuple(self._workers):
                if worker.part is not None:
                    await worker.tell(act)

    def close(self) -> None:
        """Nothing is done any more."""
        self._acts.close()
        self._to_tell.close()

    @property
    def accounts(self) -> tuple[AccountNow, ...]:
        """See `Crew`."""
        if self._gates:
            return tuple(
                replace(account_now(name, gate), waiting=self._lessor.waiting(name))
                for name, gate in self._gates.items()
            )
        by_name: dict[str, AccountNow] = {}
        for some in self._each:
            for one in some.accounts:
                known = by_name.get(one.provider)
                by_name[one.provider] = one if known is None else _joined(known, one)
        return tuple(by_name.values())

    @property
    def models(self) -> tuple[ModelNow, ...]:
        """See `Crew`; down for all of them, if they are so for one."""
        by_name: dict[str, ModelNow] = {}
        for some in self._each:
            for one in some.models:
                known = by_name.get(one.model)
                by_name[one.model] = one if known is None else _seen_by_both(known, one)
        return tuple(by_name.values())

    @property
    def under_way(self) -> int:
        """See `Crew`; as workers last said."""
        return (self._own.rows if self._own else 0) + sum(worker.under_way for worker in self._workers)

    def pause(self, *, paused: bool) -> None:
        """See `Crew`."""
        self._have(Act(paused=paused))

    def change(self, limits: Limits) -> None:
        """See `Crew`; all keep them together."""
        self._have(Act(limits=limits))

    def news(self, remote_ids: Sequence[str]) -> None:
        """Nobody waits for any: hosted runs are those of one process (see `check_workers`)."""

    @property
    def _each(self) -> Iterator[CrewHere | Member]:
        if self._own is not None and self._own.crew is not None:
            yield self._own.crew
        yield from self._workers

    def _have(self, act: Act) -> None:
        """Have workers do this, those that come later, too."""
        self.act = Act(
            paused=self.act.paused if act.paused is None else act.paused,
            limits=self.act.limits if act.limits is None else act.limits,
        )
        self._do(act)
        self._acts.send_nowait(act)

    def _do(self, act: Act) -> None:
        """Do this at the gates where workers ask for leave, and here."""
        for name, gate in self._gates.items():
            if act.paused is not None:
                (gate.pause if act.paused else gate.resume)()
            if act.limits is not None:
                gate.change(limits_for(self._setup.providers[name], act.limits))
        if self._own is not None:
            self._own.do(self.act)


def _joined(one: AccountNow, other: AccountNow) -> AccountNow:
    """An account as two workers see it: what each has for itself is added up."""
    return replace(
        one,
        in_flight=one.in_flight + other.in_flight,
        most_in_flight=one.most_in_flight + other.most_in_flight,
        waiting=one.waiting + other.waiting,
        closed_for=max(one.closed_for or 0.0, other.closed_for or 0.0),
        closed_why=one.closed_why or other.closed_why,
    )


def _seen_by_both(one: ModelNow, other: ModelNow) -> ModelNow:
    """A model as two workers see it, each with a breaker of its own; the worse of the two is told."""
    worse = max(one, other, key=lambda model: _BADNESS.index(model.breaker))
    return replace(worse, outages=one.outages + other.outages, passed_by=one.passed_by + other.passed_by)
