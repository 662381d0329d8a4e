"""Engines that exist, as far as workers are started on them: Dask and Ray, by Prefect's task runners.

Neither is needed by whoever does not ask for it, so each is imported when it is asked for.
"""
# ruff: noqa: PLC0415  imports inside functions, for the reason above

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Protocol

from prefect import State
from prefect.futures import PrefectWrappedFuture
from prefect.task_runners import TaskRunner

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.spread import Spread

_PACKAGES: Final = {"dask": "prefect_dask", "ray": "prefect_ray"}
_LONGEST_TOLD: Final = 300  # characters of what an engine says

Submitted = PrefectWrappedFuture[Any, Any]
"""A task run that an engine has taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a worker's task run ended."""

    trouble: str | None = None  # None: in good order
    died: bool = False  # its process is gone; else the task itself, or what leads to it, went wrong


class Engine(Protocol):
    """Runs tasks on whatever machines it has."""

    name: str

    def task_runner(self) -> TaskRunner[Any]:
        """Prefect's task runner for it, which is to be opened."""
        ...

    def asking_once(self) -> AbstractContextManager[None]:
        """A context in which what is submitted is never tried again by the engine itself."""
        ...

    def look(self, futures: Sequence[Submitted]) -> Sequence[Ended | None]:
        """How each of these has ended, if it has."""
        ...

    def drop(self, futures: Sequence[Submitted]) -> None:
        """Have these not begin, or end, as far as the engine can do that."""
        ...

    def let_go(self) -> None:
        """Leave what the closed task runner has not left."""
        ...


def engine_of(spread: Spread, *, workers: int) -> Engine:
    """The engine that a job names.

    Raises:
        Mistake: it is not installed.
    """
    check_installed(spread)
    if spread.runner == "dask":
        return Dask(spread.address, workers=workers)
    return Ray(spread.address, workers=workers)


def check_installed(spread: Spread) -> None:
    """Nothing, if what the job names is installed.

    Raises:
        Mistake: it is not.
    """
    package = _PACKAGES[spread.runner]
    if find_spec(package) is None:
        raise Mistake(
            f"workers on {spread.runner.capitalize()} need the package {package.replace('_', '-')}, here and "
            f"where they run: pip install 'rowmill[{spread.runner}]'. Nothing was run."
        )


class Dask:
    """A Dask cluster: that at an address, or one of this machine's."""

    name = "Dask"

    def __init__(self, address: str | None, *, workers: int) -> None:
        """Nothing is started, and nobody is called."""
        self._address = address
        self._workers = workers

    def task_runner(self) -> TaskRunner[Any]:
        """See `Engine`."""
        from prefect_dask import DaskTaskRunner

        if self._address is not None:
            there: TaskRunner[Any] = DaskTaskRunner(address=self._address)
            return there
        here: TaskRunner[Any] = DaskTaskRunner(
            cluster_kwargs={
                "n_workers": self._workers,
                "threads_per_worker": 1,
                "processes": True,
                "security": True,  # its own; else whoever is on this machine may run things in it
                "dashboard_address": None,
                "memory_limit": 0,  # else Dask kills a worker at what it takes for its part
                "scheduler_kwargs": {"allowed_failures": 0},
            }
        )
        return here

    @contextmanager
    def asking_once(self) -> Iterator[None]:
        """See `Engine`; a cluster that was there before may be set to try again what killed its worker.

        A ticket is good once, so that such a second try ends as it begins.
        """
        yield

    def look(self, futures: Sequence[Submitted]) -> Sequence[Ended | None]:
        """See `Engine`."""
        return [self._ended(future) for future in futures]

    def _ended(self, submitted: Submitted) -> Ended | None:
        from distributed import KilledWorker

        future = submitted.wrapped_future
        match future.status:
            case "pending":
                return None
            case "finished":
                return _of_state(future.result())
            case "error":
                trouble = future.exception()
                return Ended(trouble=_told(trouble), died=isinstance(trouble, KilledWorker))
            case status:  # cancelled, or lost with its scheduler
                return Ended(trouble=f"it was {status}", died=True)

    def drop(self, futures: Sequence[Submitted]) -> None:
        """See `Engine`; a task that runs cannot be ended by Dask, but a worker ends with its batch."""
        for future in futures:
            future.wrapped_future.cancel()

    def let_go(self) -> None:
        """See `Engine`."""


class Ray:
    """A Ray cluster: that at an address, or one of this machine's."""

    name = "Ray"

    def __init__(self, address: str | None, *, workers: int) -> None:
        """Nothing is started, and nobody is called."""
        self._address = address
        self._workers = workers
        self._aside = ExitStack()

    def task_runner(self) -> TaskRunner[Any]:
        """See `Engine`."""
        from prefect_ray import RayTaskRunner

        # Ray prints what it has to say of dead workers, and cannot be told where: not where the summary goes.
        self._aside.enter_context(redirect_stdout(sys.stderr))
        quiet: dict[str, object] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is not None:
            there: TaskRunner[Any] = RayTaskRunner(address=self._address, init_kwargs=quiet)
            return there
        here: TaskRunner[Any] = RayTaskRunner(
            address="local",  # and not whatever cluster this machine happens to be part of
            init_kwargs={**quiet, "num_cpus": self._workers, "include_dashboard": False},
        )
        return here

    @contextmanager
    def asking_once(self) -> Iterator[None]:
        """See `Engine`."""
        from prefect_ray.context import remote_options

        with remote_options(max_retries=0, scheduling_strategy="SPREAD"):
            yield

    def look(self, futures: Sequence[Submitted]) -> Sequence[Ended | None]:
        """See `Engine`."""
        import ray

        refs = [future.wrapped_future for future in futures]
        ready = set(ray.wait(refs, num_returns=len(refs), timeout=0)[0])
        return [self._ended(future) if future.wrapped_future in ready else None for future in futures]

    def _ended(self, submitted: Submitted) -> Ended:
        import ray
        from ray.exceptions import RayTaskError

        try:
            return _of_state(ray.get(submitted.wrapped_future))
        except RayTaskError as error:
            return Ended(trouble=_told(error.cause or error))
        except Exception as error:  # noqa: BLE001  # however a node, a process or a cluster may be lost
            return Ended(trouble=_told(error), died=True)

    def drop(self, futures: Sequence[Submitted]) -> None:
        """See `Engine`."""
        import ray

        for future in futures:
            ray.cancel(future.wrapped_future, force=True)

    def let_go(self) -> None:
        """See `Engine`; a client of a cluster elsewhere is left connected by its task runner."""
        import ray

        with self._aside:
            if ray.is_initialized():
                ray.shutdown()


def _of_state(state: object) -> Ended:
    if isinstance(state, State) and not state.is_completed():
        return Ended(trouble=_cut(state.message or state.name or "it did not say why"))
    return Ended()


def _told(error: BaseException) -> str:
    return _cut(f"{type(error).__name__}: {error}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TOLD else f"{line[: _LONGEST_TOLD - 1]}…"
