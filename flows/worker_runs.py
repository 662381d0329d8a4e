"""Workers as Prefect task runs on an engine: one for each, which Prefect neither retries nor remembers.

A task run takes a ticket to wherever the engine has room, and calls in at the batch from there. What it does
is the batch's affair. Prefect sees a number: the ticket is sealed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
from anyio import to_thread
from prefect import State, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.flows import Flow
from prefect.states import Completed, Crashed
from prefect.task_runners import TaskRunner

from flows.engines import Ended, Engine, Submitted
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.workers.calling import NotLetIn
from tasks_lib.job.workers.handshake import made_here
from tasks_lib.job.workers.recruiting import NoWorker, Ticket
from tasks_lib.job.workers.worker import work_for

_EVERY: Final = 1.0  # seconds between two looks at what became of the task runs
_PATIENCE: Final = 10.0  # seconds in which a worker ends by itself that was hung up on
_TO_CLOSE: Final = 30.0  # seconds in which an engine lets go
_TO_ANSWER: Final = 120.0  # seconds in which an engine is there, and has taken a task
_TRIES: Final = 3  # of one ticket, whose worker's process may die before it calls in
_TO_TELL: Final = 5.0  # seconds for a word to Prefect


class Sealed:
    """A ticket that nobody sees who looks at a task's parameters, or goes through them as Prefect does."""

    def __init__(self, ticket: Ticket) -> None:
        """Seal a ticket."""
        self._ticket = ticket

    def opened(self) -> Ticket:
        """The ticket."""
        return self._ticket

    def __repr__(self) -> str:
        return f"<ticket of worker {self._ticket.number + 1}>"


def _work(number: int, sealed: Sealed, made: str, tried: int = 0) -> State[None]:
    """Work for a batch until it is over.

    Who takes a ticket to whose worker something has happened may find it used: then it had called in, and the
    batch has had another worker begun for it.
    """
    here = made_here()
    if here != made:
        raise Mistake(f"worker {number} has {here}, and its batch {made}: install the same there")
    try:
        return Completed(message=work_for(sealed.opened()))
    except NotLetIn:
        if not tried:
            raise
        return Completed(message="the ticket was used: another worker has that one's place")


async def _tell_crashed(future: Submitted, why: str) -> None:
    """Have Prefect know how a task run ended that could not say so itself; without an answer it goes on."""

    def tell() -> None:  # in a thread: to make a client takes longer than calls may wait for leave
        state: State[None] = Crashed(message=f"The worker's process is gone: {why}")
        with get_client(sync_client=True) as client:
            client.set_task_run_state(future.task_run_id, state, force=True)

    with suppress(Exception), anyio.move_on_after(_TO_TELL):
        await to_thread.run_sync(tell, abandon_on_cancel=True)


def _nothing() -> None:
    """Stands for a flow."""


# Functions that keep their names are pickled by these, so that a worker runs those of its own rowmill; and
# neither the flow nor its parameters go along, which the worker has no need for.
WORKER: Final = task(
    name="worker",
    task_run_name="worker {number}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=0,  # the batch has another one begun, with a ticket of its own
    log_prints=False,
)(_work)
_STAND_IN: Final = Flow(_nothing, name="enrich")


@dataclass(slots=True, kw_only=True)
class _Run:
    ticket: Ticket
    tried: int  # how often its ticket had been taken before
    future: Submitted
    ended: Ended | None = None
    is_over: bool = False  # and nothing more is to be done about it

    @property
    def number(self) -> int:
        """The worker's, as people count."""
        return self.ticket.number + 1


class WorkerRuns:
    """Has an engine run workers: a `Recruiter`, made within a flow, to whose run the task runs belong."""

    def __init__(self, engine: Engine, *, stop: Stop, warn: Callable[[str], None]) -> None:
        """The engine is opened for the first worker; `warn` is told what goes wrong with any."""
        self._engine = engine
        self._stop = stop
        self._warn = warn
        self._flow = copy_context()
        self._runner: TaskRunner[Any] | None = None
        self._lacks: str | None = None  # why there is no engine, once that was tried
        self._runs: list[_Run] = []
        self._opening = anyio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self, ticket: Ticket) -> None:
        """Submit a task run that calls in with this ticket.

        Raises:
            NoWorker: the engine cannot be reached, or does not take it.
        """
        async with self._opening:
            if self._closed:
                raise NoWorker("the batch is over")
            if self._lacks is not None:  # no other worker would fare better, but wait as long
                raise NoWorker(self._lacks)
            try:
                with anyio.fail_after(_TO_ANSWER):  # engines wait for minutes, and some for ever
                    await to_thread.run_sync(self._submitted, ticket, abandon_on_cancel=True)
            except Exception as error:
                why = str(error) or f"it did not answer for {_TO_ANSWER:.0f} s"
                told = f"{self._engine.name}: {type(error).__name__}: {why}"
                if self._runner is None:
                    self._lacks = told
                raise NoWorker(told) from error
            if self._watching is None:
                self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Let workers end, drop those that do not, and close what was opened; may be called again."""
        async with self._opening:
            self._closed = True
            if self._watching is not None:
                self._watching.cancel()
                self._watching = None
            runner, self._runner = self._runner, None
            if runner is None:
                return
            with anyio.move_on_after(_PATIENCE):
                while await self._looked():  # noqa: ASYNC110  # engines are asked, and tell nobody
                    await anyio.sleep(0.1)
            for run in self._runs:
                if run.ended is None:
                    await _tell_crashed(run.future, "it did not end with its batch")
            with anyio.move_on_after(_TO_CLOSE):
                await to_thread.run_sync(self._let_go, runner, abandon_on_cancel=True)

    def _submitted(self, ticket: Ticket, tried: int = 0) -> None:
        self._flow.copy().run(self._submit, ticket, tried)

    def _submit(self, ticket: Ticket, tried: int) -> None:
        """In a thread, since engines wait for themselves, and in the flow's context."""
        if self._runner is None:
            runner = self._engine.task_runner()
            runner.__enter__()
            if self._closed or self._lacks is not None:  # nobody waits any more
                runner.__exit__(None, None, None)
                self._engine.let_go()
                return
            self._runner = runner
        within = FlowRunContext.get()
        if within is None:
            raise RuntimeError("workers are task runs of a flow run")
        parameters = {
            "number": ticket.number + 1,
            "sealed": Sealed(ticket),
            "made": made_here(),
            "tried": tried,
        }
        with within.model_copy(update={"flow": _STAND_IN, "parameters": {}}), self._engine.asking_once():
            future: Submitted = self._runner.submit(WORKER, parameters)
        self._runs.append(_Run(ticket=ticket, tried=tried, future=future))

    def _let_go(self, runner: TaskRunner[Any]) -> None:
        left = [run.future for run in self._runs if run.ended is None]
        with suppress(Exception):  # of a cluster that is gone already
            self._engine.drop(left)
        with suppress(Exception):  # as above
            runner.__exit__(None, None, None)
        with suppress(Exception):  # as above
            self._engine.let_go()

    async def _watch(self) -> None:
        """Tell what goes wrong before a worker calls in, which the batch would never hear of."""
        while True:
            await anyio.sleep(_EVERY)
            await self._looked()
            await self._try_again()
            troubles = [run.ended for run in self._runs if run.ended is not None and run.ended.trouble]
            if len(troubles) == len(self._runs) and not any(one.died for one in troubles):
                # those that died are begun anew; what none of them can do, no other will do
                self._stop.call(Why.FAILURES, f"no worker could work: {troubles[-1].trouble}")

    async def _try_again(self) -> None:
        """Have another one take the ticket of a worker that died, which may have been before it called in."""
        for run in tuple(self._runs):
            if run.ended is None or run.is_over:
                continue
            run.is_over = True
            if run.ended.died and run.tried + 1 < _TRIES and not self._stop.called:
                with suppress(Exception):  # as when the engine is gone, which the batch finds out by itself
                    await to_thread.run_sync(
                        self._submitted, run.ticket, run.tried + 1, abandon_on_cancel=True
                    )

    async def _looked(self) -> bool:
        """Look at those that have not ended; whether there are still any."""
        open_ = [run for run in self._runs if run.ended is None]
        if not open_:
            return False
        found = await to_thread.run_sync(self._engine.look, [run.future for run in open_])
        for run, ended in zip(open_, found, strict=True):
            run.ended = replace(ended) if ended is not None else None
            if ended is not None and ended.trouble and not self._closed:
                self._warn(f"worker {run.number} on {self._engine.name}: {ended.trouble}")
            if ended is not None and ended.died:
                await _tell_crashed(run.future, ended.trouble or "its process is gone")
        return any(run.ended is None for run in open_)
