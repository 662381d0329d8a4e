"""How many servers there may be."""

import os
from pathlib import Path

import pytest

from tasks_lib.local import cores

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALLOWED),
        ("100000 100000", 1),
        ("50000 100000", 1),
        (f"{(ALLOWED + 5) * 100000} 100000", ALLOWED),
        ("nonsense", ALLOWED),
    ],
)
def test_a_container_gets_its_share(tmp_path: Path, quota: str, expected: int):
    """A container's quota lowers the number of cores, to one at the least, and never raises it."""
    file = tmp_path / "cpu.max"
    file.write_text(quota + "\n")
    assert cores(quota_file=file) == expected


def test_without_a_quota_the_affinity_counts(tmp_path: Path):
    """Where no quota is told, the cores are those that this process may run on."""
    assert cores(quota_file=tmp_path / "absent") == ALLOWED
