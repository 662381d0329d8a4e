"""A batch that goes on without whoever began it."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import orjson

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.places import nearby
from tasks_lib.cli.run import Manner
from tasks_lib.cli.summary import Again
from tasks_lib.cli.words import note, tell
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.place import shown_setting
from tasks_lib.job.checks import check_before_rows
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.live.notice import notice_beside

_LOOK = 0.05  # seconds between two looks
_SHOWN = 2_000  # characters of what a run said that ended at once


def run_detached(job: Path, *, overrides: Mapping[str, object], options: Options, manner: Manner) -> int:
    """Begin a batch in a process of its own, and tell its id; gives the exit code.

    The process has no terminal: it outlives this one, and writes what it would say into a file beside the
    ledger. A run that has nothing to do, or that ends before it can be reached, is told by its own summary.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    setup = load_setup(job, overrides=overrides, environment=Environment.from_os())
    check_before_rows(setup)
    ledger = setup.job.ledger
    said = ledger.with_name(f"{ledger.name}.{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log")
    try:
        log = said.open("xb")
    except OSError as error:
        raise Mistake(f"{said} cannot be written: {error.strerror}") from None
    with log:
        process = _begin(
            _arguments(job, overrides=overrides, options=options, manner=manner),
            log,
            unshown={name: value for name, value in overrides.items() if _is_secret(name, value)},
        )
    while process.poll() is None:
        notice = notice_beside(ledger)
        if notice is not None and notice.pid == process.pid:
            _tell(
                batch_id=notice.batch_id, job=setup.job.name, pid=process.pid, log=said, as_json=manner.json
            )
            return 0
        time.sleep(_LOOK)
    return _ended_at_once(process.returncode, said, as_json=manner.json)


def more_given(told: IO[bytes]) -> dict[str, object]:
    """What a run is told on its standard input that began in the background: overrides that nobody sees."""
    given: dict[str, object] = orjson.loads(told.read())
    return given


def _arguments(job: Path, *, overrides: Mapping[str, object], options: Options, manner: Manner) -> list[str]:
    """What was given on the command line, but for how it is told, and for what nobody is to see."""
    open_ones = {name: value for name, value in overrides.items() if not _is_secret(name, value)}
    again = Again.of(job, overrides=open_ones, options=options, prefect=manner.prefect)
    flags = {
        "--force": options.force,
        "--retry-failed": options.retry_failed,
        "--retry-poisoned": options.retry_poisoned,
    }
    _, _, *words = shlex.split(again.command)
    return [*words, *(flag for flag, given in flags.items() if given)]


def _is_secret(name: str, value: object) -> bool:
    return isinstance(value, str) and shown_setting(name, value) != value


def _begin(
    arguments: Sequence[str], log: IO[bytes], *, unshown: Mapping[str, object]
) -> "subprocess.Popen[bytes]":
    """The run; what is not to be seen in the list of processes it reads from its standard input."""
    command = [sys.executable, "-m", "tasks_lib.cli", "run", *arguments, "--json"]
    if not unshown:
        return subprocess.Popen(  # noqa: S603  # ourselves, with the arguments that we were given
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    process = subprocess.Popen(  # noqa: S603  # as above
        [*command, "--more-on-stdin"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin as more:  # it may have ended already, and has said why
            more.write(orjson.dumps(unshown))
    return process


def _tell(*, batch_id: str, job: str, pid: int, log: Path, as_json: bool) -> None:
    if as_json:
        tell(json_text({"batch_id": batch_id, "job": job, "pid": pid, "log": str(log)}))
        return
    tell(f"{job}: batch {batch_id} runs in process {pid}, and says what it has to say in {nearby(log)}")
    note("Watch it with `rowmill top`, see how it ended with `rowmill status`, end it with `rowmill cancel`.")


def _ended_at_once(code: int, said: Path, *, as_json: bool) -> int:
    """Tell of a run that was over before it could be reached."""
    lines = said.read_text("utf-8", "replace").splitlines()
    summaries = [
        line for line in lines if line.startswith("{")
    ]  # of which a run prints one, if it gets so far
    if code != 0 or not summaries:
        note("\n".join(line for line in lines if line not in summaries)[-_SHOWN:])
    if summaries:
        summary = orjson.loads(summaries[-1])
        tell(summaries[-1] if as_json else f"{summary['job']}: it was over at once ({summary['outcome']})")
    said.unlink(missing_ok=True)
    return code
