"""Where a path in a file leads, and how it is called in a message."""

import os
from pathlib import Path

from tasks_lib.domain.place import Address, Place, is_address


def path_from(folder: Path, written: str) -> Path:
    """The file that a path written in a file of `folder` means; `~` is the user's home.

    Steps back (`..`) are taken out where that does not change the meaning, as it would after a symbolic link.
    """
    joined = folder / Path(written).expanduser()
    plain = Path(os.path.normpath(joined))
    return plain if plain.resolve() == joined.resolve() else joined


def place_from(folder: Path, written: str) -> Place:
    """The file, folder or glob that a path written in a file of `folder` means, or the address that it is.

    Raises:
        ValueError: it looks like an address and is none.
    """
    return Address.parse(written) if is_address(written) else path_from(folder, written)


def shown(path: Path) -> str:
    """The path as somebody in the working directory would write it, if it lies there."""
    try:
        return str(path_from(Path(), str(path)).absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
