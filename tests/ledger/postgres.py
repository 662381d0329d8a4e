"""A PostgreSQL of a test's own, where Debian's programs are on the machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs; None: there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def postgres() -> Iterator[str]:
    """A cluster on a socket alone, and its parameters as libpq has them; gone at the end."""
    bin_ = programs()
    assert bin_ is not None
    folder = Path(mkdtemp(prefix="pg"))  # a socket's path is at most 107 bytes long
    # PostgreSQL refuses to be run by root
    as_user = (
        ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if not os.getuid() else []
    )
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, bin_ / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            timeout=120,
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "rowmill", "--no-sync")
    run(
        "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"),
        "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "start",
    )  # fmt: skip
    try:
        yield f"host={folder} user=rowmill dbname=postgres"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
