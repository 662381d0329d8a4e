"""DuckDB's extensions, from the Python packages that hold them: nothing is ever fetched."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.statements import literal

_OWN_NAME = {"postgres": "postgres_scanner"}  # DuckDB takes the name of the entry point from the file's


def load_extensions(connection: duckdb.DuckDBPyConnection, *names: str, extra: str) -> None:
    """Load extensions into a database, in this order.

    Raises:
        LedgerError: the package of one is not installed, which the optional dependencies `extra` would bring.
    """
    for name in names:
        file = extension_file(name, extra=extra)
        own = _OWN_NAME.get(name)
        if own is None:
            connection.execute(f"load {literal(str(file))}")
            continue
        with TemporaryDirectory() as folder:
            link = Path(folder) / f"{own}.duckdb_extension"
            link.symlink_to(file)
            connection.execute(f"load {literal(str(link))}")


def extension_file(name: str, *, extra: str) -> Path:
    """The extension's file in its Python package.

    Raises:
        LedgerError: see `load_extensions`.
    """
    package = f"duckdb_extension_{name}"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise LedgerError(f"install rowmill[{extra}] for that")
    file = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.is_file():
        raise LedgerError(f"the installed package {package} is not for DuckDB {duckdb.__version__}")
    return file
