"""What is read from the environment of the process, and nowhere else."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The environment as it was when the program began."""

    variables: Mapping[str, str] = field(repr=False)  # keys of accounts among them
    user: str | None  # who runs this; None: the system does not say
    prefect_api_url: str | None  # the server that flows report to; None: none is configured
    state_folder: Path | None  # where processes of this user leave word for one another; None: nobody says
    no_color: bool  # https://no-color.org: any value but the empty one

    @classmethod
    def from_os(cls) -> Self:
        """The environment of this process, now."""
        return cls.of(os.environ, user=_user())

    @classmethod
    def of(cls, variables: Mapping[str, str], *, user: str | None = None) -> Self:
        """What these variables mean."""
        return cls(
            variables=dict(variables),
            user=user,
            prefect_api_url=variables.get("PREFECT_API_URL", "").strip() or None,
            state_folder=_state_folder(variables),
            no_color=bool(variables.get("NO_COLOR")),
        )


def _state_folder(variables: Mapping[str, str]) -> Path | None:
    """As the XDG base directory specification has it; a path that is not absolute counts as not set."""
    named, home = Path(variables.get("XDG_STATE_HOME", "")), Path(variables.get("HOME", ""))
    if named.is_absolute():
        return named / "rowmill"
    return home / ".local/state/rowmill" if home.is_absolute() else None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return None
