"""The engine without Prefect: `tasks_lib` neither needs nor imports it."""

import json
import subprocess
import sys

from tests.flows.processes import ROOT

_IMPORT_ALL = """
import importlib, json, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"prefect", "flows"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import tasks_lib
found = pkgutil.walk_packages(tasks_lib.__path__, "tasks_lib.")
names = [one.name for one in found if "__main__" not in one.name]
for name in names:
    importlib.import_module(name)
print(json.dumps(names))
"""


def test_tasks_lib_imports_where_prefect_is_absent():
    """Every module of tasks_lib imports where there is no Prefect, so none of them imports it."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout)
    assert {"tasks_lib.job.batch", "tasks_lib.engine.run", "tasks_lib.cli.app"} <= set(names)
