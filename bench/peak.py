"""The peak of this process's own memory."""

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def own_peak_mb() -> float:
    """MB that were resident at most; not by rusage where it can be helped, which counts a parent's, too."""
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
