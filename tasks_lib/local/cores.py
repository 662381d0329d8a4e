"""How many servers this process may keep busy at once."""

import os
from pathlib import Path
from typing import Final

_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def cores(*, quota_file: Path = _CGROUP_QUOTA) -> int:
    """Cores this process may keep busy, at least 1: those it is allowed, within its container's share."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(quota_file) or allowed))


def _quota(quota_file: Path) -> int | None:
    """Whole cores in a cgroup's `QUOTA PERIOD` (both microseconds); None where there is no such limit."""
    try:
        quota, period = quota_file.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup here, or the quota is the word "max"
        return None
