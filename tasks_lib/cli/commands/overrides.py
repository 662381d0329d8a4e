"""What flags and --set change of a job."""

from pathlib import Path

import typer


def overrides_of(settings: list[str] | None, **flags: Path | str | float | None) -> dict[str, object]:
    """What the flags set, by the key that each stands for."""
    given: dict[str, object] = {name: value for name, value in flags.items() if value is not None}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not (key.strip() and equals):
            raise typer.BadParameter(f"{setting!r} is not of the form KEY=VALUE", param_hint="--set")
        given[key.strip()] = value
    return given
