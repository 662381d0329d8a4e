"""One task, one run, from the command line."""

import sys
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import orjson

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.words import tell
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.single import run_task


def show_task_run(
    task: Path,
    *,
    inputs: Sequence[str],
    files: Sequence[str],
    revision_id: str | None,
    revision_tag: str | None,
    reporting_group: str | None,
    use_fallback_model: bool,
    reference: str | None,
    context_id: str | None,
    ledger: Path,
    as_agent: bool,
) -> int:
    """Run a task once and print its record; gives the exit code.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    record = anyio.run(
        partial(
            run_task,
            task,
            task_input(inputs),
            task_files=task_files(files),
            revision_id=revision_id,
            revision_tag=revision_tag,
            reporting_group=reporting_group,
            use_fallback_model=use_fallback_model,
            task_reference=reference,
            context_id=context_id,
            ledger=ledger,
        )
    )
    tell(json_text(record.agent_response() if as_agent else record.as_json()))
    return 1 if record.is_error else 0


def task_input(given: Sequence[str]) -> dict[str, JsonValue]:
    """What NAME=TEXT, NAME:=JSON, NAME=@FILE and a whole JSON object (-: standard input) spell together.

    Raises:
        Mistake: one of them is none of these.
    """
    found: dict[str, JsonValue] = {}
    for text in given:
        if text == "-" or text.lstrip().startswith("{"):
            found |= _object(sys.stdin.read() if text == "-" else text)
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.rstrip(":"):
            raise Mistake(f"--input {text}: write NAME=TEXT, NAME:=JSON, NAME=@FILE or a JSON object")
        if name.endswith(":"):
            found[name[:-1]] = _json(name[:-1], value)
        elif value.startswith("@"):
            found[name] = _read(Path(value[1:])).decode("utf-8-sig", "replace")
        else:
            found[name] = value
    return found


def task_files(given: Sequence[str]) -> list[dict[str, str]]:
    """The names and contents of files, as the API takes them.

    Raises:
        Mistake: one cannot be read.
    """
    return [{"filename": Path(path).name, "content": b64encode(_read(Path(path))).decode()} for path in given]


def _object(text: str) -> dict[str, JsonValue]:
    value = _json("--input", text)
    if not isinstance(value, dict):
        raise Mistake("--input: the JSON must be an object, with a value for each placeholder")
    return value


def _json(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Mistake(f"{name} is not JSON ({error})") from None
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from None
