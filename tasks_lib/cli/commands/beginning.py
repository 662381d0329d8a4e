"""The files that a user writes: begun, and described for an editor."""

from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.forms import SchemaOf


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where; it is made if need be.")] = Path(),
) -> None:
    """Write a job, its task and a few rows to begin with.

    Files that are there already are left as they are.

    For example:

      rowmill init
      rowmill init reviews
    """
    from tasks_lib.cli.init import make_scaffold

    make_scaffold(folder)


def schema(
    of: Annotated[
        SchemaOf,
        typer.Argument(help="Which file's.", show_default=False),
    ],
) -> None:
    """Print the JSON Schema of a file that you write, for your editor.

    That of task_run describes what `rowmill show --json` prints.

    For example:

      rowmill schema job > job.schema.json

    With the YAML language server, put this line at the top of a job:

      # yaml-language-server: $schema=job.schema.json
    """
    from tasks_lib.cli.schema import show_schema

    show_schema(of)
