"""The first files of somebody's own: a job, its task, a few rows."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

_JOB: Final = Path("configs/jobs/people.yaml")
_TASK: Final = Path("configs/tasks/people.yaml")
_ROWS: Final = Path("data/people.csv")
_IGNORE: Final = Path(".gitignore")
_IGNORED: Final = ("data/*.duckdb*", "data/out/")

_SAMPLE: Final = """\
id,field,sentence
1,physics,Marie Curie was born in Warsaw in 1867.
2,music,Fela Kuti was born in Abeokuta in 1938.
3,literature,Jorge Luis Borges was born in Buenos Aires in 1899.
4,mathematics,Srinivasa Ramanujan was born in Erode in 1887.
5,painting,Frida Kahlo was born in Coyoacán in 1907.
6,computing,Ada Lovelace was born in London in 1815.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """What was written, and what was left as it is; paths within the folder."""

    folder: Path
    job: Path  # the job file, to run
    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def scaffold(folder: Path) -> Scaffold:
    """A job, its task, six rows and a .gitignore in a folder, which is made if need be.

    A file that is there is never changed, but for lines that .gitignore lacks, which are added at its end.

    Raises:
        OSError: the folder cannot be written.
    """
    texts = {_JOB: _text("init_job.yaml"), _TASK: _text("init_task.yaml"), _ROWS: _SAMPLE}
    written = [path for path, text in texts.items() if _write_new(folder / path, text)]
    if _ignore(folder / _IGNORE):
        written.append(_IGNORE)
    kept = [path for path in (*texts, _IGNORE) if path not in written]
    return Scaffold(folder=folder, job=_JOB, written=tuple(written), kept=tuple(kept))


def _text(name: str) -> str:
    return resources.files("tasks_lib.configs").joinpath(name).read_text("utf-8")


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was not there and now is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _ignore(path: Path) -> bool:
    """Whether lines had to be added."""
    before = path.read_text("utf-8") if path.exists() else ""
    missing = [line for line in _IGNORED if line not in before.splitlines()]
    if not missing:
        return False
    gap = "" if not before or before.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(gap + "".join(f"{line}\n" for line in missing))
    return True
