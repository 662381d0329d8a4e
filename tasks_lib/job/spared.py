"""What a process of ours need not load.

pyarrow imports pandas with the first list that it makes an array of, and DuckDB with the first parameter of a
query, only to see whether a value is one of pandas' own; both do without where pandas is not installed. It
takes 45 MB and a quarter of a second. The command and its workers never see a DataFrame: they say that pandas
is not there. The Python face (`tasks_lib.job.enrich`) does, and leaves its process as it is.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_SPARED = "pandas"


class _Refusing:
    """The first to be asked where a module is; says of one that it is nowhere."""

    @staticmethod
    def find_spec(
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG004 - the import system gives it
        target: ModuleType | None = None,  # noqa: ARG004 - as above
        /,
    ) -> ModuleSpec | None:
        if fullname == _SPARED:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: this process does without it", name=_SPARED
            )
        return None  # let the others find it


def spare_pandas() -> None:
    """Have this process do without pandas from now on, for good; only for processes of our own."""
    sys.meta_path.insert(0, _Refusing())
