"""Which providers.yaml or prices.yaml goes with a job or task file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tasks_lib.configs.document import read_document
from tasks_lib.configs.overrides import overridden
from tasks_lib.configs.paths import path_from, shown
from tasks_lib.configs.problems import ConfigError


def beside(
    path: Path | None, which: Literal["providers", "prices"], overrides: Mapping[str, object]
) -> Path | None:
    """The file that the job names under that key, or else WHICH.yaml in its folder or in the one above.

    Raises:
        ConfigError: the job cannot be read, or the file that it names is not there.
    """
    if path is None:
        return None
    document = overridden(read_document(path), overrides)
    told = document.value.get(which) if isinstance(document.value, dict) else None
    if isinstance(told, str):
        place = document.place((which,))
        named = path_from(place.folder, told)
        if not named.is_file():
            raise ConfigError([document.problem((which,), f"there is no {which} file {shown(named)}")])
        return named
    for folder in (path.parent, path.parent / ".."):
        found = path_from(folder, f"{which}.yaml")
        if found.is_file():
            return found
    return None
