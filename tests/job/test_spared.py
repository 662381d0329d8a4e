"""What a process of ours need not load."""

import subprocess
import sys

_LOOKED = """
import sys
from decimal import Decimal
import duckdb
import pyarrow as pa
{before}
pa.array(["a", None], pa.string())
assert duckdb.execute("select $1, $2", ["a", Decimal("0.5")]).fetchall() == [("a", Decimal("0.5"))]
print("pandas" in sys.modules)
"""


def _said(before: str) -> str:
    looked = _LOOKED.format(before=before)
    return subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, check=True).stdout


def test_pandas_is_not_loaded_by_those_who_only_look_for_its_values() -> None:
    """Arrays and parameters bring pandas along unless it is spared, and are the same without."""
    assert _said("") == "True\n"
    assert _said("from tasks_lib.job.spared import spare_pandas; spare_pandas()") == "False\n"


def test_the_command_does_without_pandas() -> None:
    """The command's process never loads it; a process that only calls the command keeps what it has."""
    ended = "try: main({arguments})\nexcept SystemExit: pass"
    imports = "from tasks_lib.cli import main\nsys.argv = ['rowmill', 'report']\n"
    assert _said(imports + ended.format(arguments="")).endswith("False\n")
    assert _said(imports + ended.format(arguments="['report']")).endswith("True\n")
