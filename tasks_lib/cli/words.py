"""Where words go: a result to standard output, everything else to standard error.

A reader that has left (`| head`) is no error: what it does not want to read is dropped, and the program goes
on to its end. So a batch does not die because nobody watches it any more.
"""

import os
import re
import sys
from shutil import get_terminal_size
from textwrap import fill
from typing import TextIO

from tasks_lib.cli.patient import LEFT
from tasks_lib.domain.mistake import Mistake

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text from data, a model or a provider with nothing in it that would steer a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str, *, longest: int) -> str:
    """Text as a single line, cut to a length."""
    joined = visible(" ".join(text.split()))
    return joined if len(joined) <= longest else joined[: longest - 1] + "…"


def tell(text: str) -> None:
    """Write lines of a result to standard output.

    Raises:
        Mistake: there is no room for them, as where it goes to a file on a full disk.
    """
    try:
        _write(sys.stdout, text + "\n")
    except OSError as error:
        drop(sys.stdout)
        raise Mistake(f"standard output cannot be written: {error.strerror or error}") from error


def note(text: str) -> None:
    """Write lines about what is going on to standard error; where there is no room, nobody reads them."""
    try:
        _write(sys.stderr, text + "\n")
    except OSError:
        drop(sys.stderr)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno not in LEFT:
            raise
        drop(stream)


def drop(stream: TextIO) -> None:
    """Send all that is still to come to nowhere, so that it cannot fail again at the program's end."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a file: somebody took the stream over, as a test may
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def fact(name: str, text: str) -> str:
    """A line that says one thing, in line with others of its kind; on a terminal it goes on below itself."""
    line = f"  {name:<10} {visible(text)}"
    if not sys.stdout.isatty():
        return line
    return fill(
        line,
        width=max(get_terminal_size().columns - 1, 40),
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )
