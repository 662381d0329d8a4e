"""Which of our child processes there are, seen from outside."""

import os
from pathlib import Path

import anyio

CHILDREN = ("local/child.py", "local/speech_child.py")


def children_of(parent: int) -> set[int]:
    """The process ids of the model servers and voices that `parent` started."""
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            # The fields after the program's name, which stands in brackets and may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):  # it ended while it was looked at
            continue
        if int(fields[1]) == parent and any(child in command for child in CHILDREN):
            found.add(int(folder.name))
    return found


def my_children() -> set[int]:
    """The process ids of the model servers and voices that this process started."""
    return children_of(os.getpid())


def runs(pid: int) -> bool:
    """Whether there is such a process, dead ones that nobody has buried left out."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def all_gone(pids: set[int], *, within: float = 30.0) -> bool:
    """Whether every one of them ends before so many seconds have passed."""
    with anyio.move_on_after(within):
        while any(runs(pid) for pid in pids):  # noqa: ASYNC110  nobody tells us: not our child
            await anyio.sleep(0.02)
    return not any(runs(pid) for pid in pids)
