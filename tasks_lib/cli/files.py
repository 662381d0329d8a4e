"""Lists the files that answers are, checks them, and copies them under names for people."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tasks_lib.cli.figures import count
from tasks_lib.cli.forms import Form
from tasks_lib.cli.places import nearby
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import note
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.template import Template
from tasks_lib.job.files import files_in, files_of_job
from tasks_lib.job.setup import load_setup
from tasks_lib.outputs import State, Stocked, copied, path_of, state_of

_NAMES: Final = (
    "row_key",
    "revision_tag",
    "row_number",
    "reporting_group",
    "reference",
    "job",
    "task",
    "model",
)
_OF_ROW, _OF_REVISION = "{{row_key}}", "{{row_key}}-{{revision_tag}}"


def show_files(
    *,
    ledger: Path,
    job: Path | None,
    folder: Path | None,
    name: str | None,
    check: bool,
    form: Form | None,
    file: Path | None,
) -> int:
    """Print the files of the latest answers, of a job's rows or of all; gives the exit code.

    With a folder they are copied there; with that or `check` each is read, and the code is 1 if one is not
    what it was.

    Raises:
        Mistake: job or ledger is not as it must be, or a file can be neither read nor written.
    """
    found = _found(ledger, job)
    stocked = _stocked(found, name)
    states: Sequence[State] = ()
    names: Sequence[str] = ()
    if folder is not None:
        told = copied(stocked, ledger=ledger, folder=folder)
        states, names = [state for _, state, _ in told], [name for _, _, name in told]
    elif check:
        states = [state_of(one, ledger=ledger) for one in stocked]
    show_table(_table(found, ledger=ledger, states=states, names=names), form=form, file=file)
    if not states:
        return 0
    whole = sum(state is State.WHOLE for state in states)
    done = "are whole" if folder is None else f"were copied to {nearby(folder)}"
    note(f"{count(whole)} of {count(len(states))} files {done}")
    return 0 if whole == len(states) else 1


def _found(ledger: Path, job: Path | None) -> list[dict[str, Any]]:
    if job is None:
        return files_in(ledger).to_pylist()
    setup = load_setup(job, environment=Environment.from_os(), overrides={"ledger": str(ledger)})
    return files_of_job(setup).to_pylist()


def _stocked(found: Sequence[Mapping[str, Any]], name: str | None) -> list[Stocked]:
    if name is None:
        tags: dict[tuple[object, ...], set[object]] = {}
        for one in found:
            tags.setdefault((one["job"], one["task"], one["row_key"]), set()).add(one["revision_tag"])
        name = _OF_REVISION if any(len(several) > 1 for several in tags.values()) else _OF_ROW
    template = Template.parse(name)
    unknown = [one for one in template.names if one not in _NAMES]
    if unknown:
        raise Mistake(f"--name: there is no {{{{{unknown[0]}}}}}; there are {', '.join(_NAMES)}")
    return [
        Stocked(
            stem=template.render(one),
            name=one["name"],
            size=one["size"],
            sha256=one["sha256"],
            uri=one["uri"],
        )
        for one in found
    ]


def _table(
    found: Sequence[Mapping[str, Any]], *, ledger: Path, states: Sequence[State], names: Sequence[str]
) -> Table:
    columns = ["job", "row_key", "revision_tag", "mime_type", "size", "file"]
    columns += ["state"] if states else []
    columns += ["copied_to"] if names else []
    return Table(columns=tuple(columns), rows=_rows(found, ledger=ledger, states=states, names=names))


def _rows(
    found: Sequence[Mapping[str, Any]], *, ledger: Path, states: Sequence[State], names: Sequence[str]
) -> Iterator[list[object]]:
    for number, one in enumerate(found):
        path = path_of(one["uri"], ledger=ledger)
        row = [one["job"], one["row_key"], one["revision_tag"], one["mime_type"], one["size"]]
        row.append(nearby(path) if path is not None else one["uri"])
        if states:
            row.append(states[number].value)
        if names:
            row.append(names[number] if states[number] is State.WHOLE else None)
        yield row
