"""What Prefect needs to find in its environment when it runs in a process of ours.

Only `tasks_lib.configs` reads the environment, with this one exception: Prefect reads its own settings from
os.environ the moment it is imported, and there is no other way to hand it some of them. What the user has set
is never changed.
"""

import os
import tempfile
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from tasks_lib.configs import Environment

SERVER_DEFAULTS: Final[Mapping[str, object]] = {
    "server.ephemeral.enabled": True,
    "server.ephemeral.startup_timeout_seconds": 120,  # its own 20 s are too short on a busy machine
    "server.analytics_enabled": False,  # DO_NOT_TRACK alone does not keep the server from calling home
    # one transaction for each event of a task run is most of what the server does: 50 ms down to 10
    "server.services.task_run_recorder.read_batch_size": 100,
    "server.services.task_run_recorder.batch_size": 100,
    "server.services.event_persister.read_batch_size": 100,
    "server.services.event_persister.batch_size": 100,
    "server.services.triggers.read_batch_size": 100,
}
"""Prefect's settings for a server that lives no longer than our run; where the user says nothing else."""

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK: Final = "127.0.0.1"


def settle() -> None:
    """Set what Prefect should find in the environment and the user has not set."""
    _settle(os.environ)


def says_how_to_log() -> bool:
    """Whether the user has set anything about Prefect's log."""
    return any(name.startswith("PREFECT_LOGGING_") for name in os.environ)


def api_configured(environment: Environment, *, project: Path | None = None) -> bool:
    """Whether the user has a Prefect API of their own: by variable, by project file or by active profile.

    The project's files are looked for in the working directory unless another one is given.

    Does not import Prefect, which takes seconds.
    """
    found = _from_files(environment.variables, project=project or Path())
    return environment.prefect_api_url is not None or "PREFECT_API_URL" in found


def _settle(environ: MutableMapping[str, str]) -> None:
    environ.setdefault("DO_NOT_TRACK", "1")
    environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours calls nobody either
    if any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        _keep_from_proxy(environ)
    if "PREFECT_HOME" not in environ and not _usable(_home(environ)):
        profiles = _home(environ) / "profiles.toml"
        if profiles.is_file():
            environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
        environ["PREFECT_HOME"] = str(_home_elsewhere())


def _keep_from_proxy(environ: MutableMapping[str, str]) -> None:
    """The way to a server of ours on loopback does not lead through a proxy."""
    name = "no_proxy" if "no_proxy" in environ else "NO_PROXY"
    exempt = [part.strip() for part in environ.get(name, "").split(",") if part.strip()]
    if not {_LOOPBACK, "*"} & set(exempt):
        environ[name] = ",".join([*exempt, _LOOPBACK])


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PREFECT_HOME") or Path(environ.get("HOME") or Path.home()) / ".prefect")


def _usable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder in the one above."""
    try:
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.parent):
            return True
    except OSError:
        return False


def _home_elsewhere() -> Path:
    """A folder of this user's among the temporary ones; kept, as a new database costs ten seconds."""
    folder = Path(tempfile.gettempdir()) / f"rowmill-prefect-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="rowmill-prefect-"))
    if folder.is_symlink() or found.st_uid != os.getuid() or not _usable(folder):
        return Path(tempfile.mkdtemp(prefix="rowmill-prefect-"))  # somebody else was there first
    return folder


def _from_files(variables: Mapping[str, str], *, project: Path) -> frozenset[str]:
    """The names of the settings, as variables, that Prefect will find in files."""
    profiles = _read(Path(variables.get("PREFECT_PROFILES_PATH") or _home(variables) / "profiles.toml"))
    active = variables.get("PREFECT_PROFILE") or profiles.get("active")
    profile = profiles.get("profiles", {}).get(active, {})
    own = _read(project / "prefect.toml")
    shared = _read(project / "pyproject.toml").get("tool", {}).get("prefect", {})
    return frozenset([*profile, *_names("PREFECT", own), *_names("PREFECT", shared)])


def _names(above: str, settings: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for key, value in settings.items():
        name = f"{above}_{key}".upper()
        names.extend(_names(name, value) if isinstance(value, Mapping) else [name])
    return names


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}  # Prefect will say what is wrong with it
