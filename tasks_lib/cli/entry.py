"""From the command line to an exit code."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TextIO

from typer.main import get_command

from tasks_lib.cli.app import app
from tasks_lib.cli.patient import patient
from tasks_lib.cli.words import note, visible
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.spared import spare_pandas

USAGE = 2  # the exit code of a wrong option, file or setting
BUG = 70  # EX_SOFTWARE of sysexits.h


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command (that of the process) and end with its exit code.

    Raises:
        SystemExit: always.
    """
    if arguments is None:  # otherwise it is somebody else's process
        spare_pandas()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the locale cannot say is no reason to fail
    if sys.stdout is sys.__stdout__ and type(sys.stdout) is TextIOWrapper:  # and not somebody's in its place
        sys.stdout = patient(sys.stdout)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    code = BUG
    try:
        get_command(app)(args=arguments, prog_name="rowmill", standalone_mode=True)
    except* Mistake as mistakes:
        for mistake in _leaves(mistakes):
            note(visible(str(mistake)))
        code = USAGE
    except* Exception as errors:  # noqa: BLE001  (the last one who can say what happened)
        for error in _leaves(errors):
            traceback.print_exception(error)
        note("This is an error of rowmill itself. What was answered until then is in the ledger.")
        code = BUG
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001  (this and the rest: what the interpreter calls it with)
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """What a user should know goes in one line; warnings for developers are not for users."""
    if issubclass(category, UserWarning):
        note(f"warning: {visible(str(message))}")
