"""The official JSON Schema Test Suite, from the source package of `jsonschema`, which holds it whole.

It is fetched by name and hash through pip, from whichever index this machine uses, once: it is kept in
data/cache, which git ignores.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_CACHE = _ROOT / "data" / "cache"
_PACKAGE = "jsonschema-4.26.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One value under one schema."""

    name: str  # file, schema and value in the suite's own words
    schema: Any  # an object or a boolean
    value: Any
    valid: bool


def fetched() -> Path:
    """The source package, which takes half a minute the first time: pip asks it for its metadata."""
    path = _CACHE / f"{_PACKAGE}.tar.gz"
    if not path.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        told = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-binary", ":all:", "--no-deps", "--dest", str(_CACHE)),
                *("--require-hashes", "--requirement", str(Path(__file__).with_name("requirements.txt"))),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode:
            raise RuntimeError(f"pip could not fetch {_PACKAGE}: {told.stderr[-2_000:]}")
    return path


def required_cases(draft: str) -> Iterator[Case]:
    """The cases of a draft, such as draft7, but for the optional ones."""
    folder = f"{_PACKAGE}/json/tests/{draft}/"
    with tarfile.open(fetched()) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix(folder)
            if not member.name.startswith(folder) or "/" in name or not name.endswith(".json"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            for group in json.load(file):
                for test in group["tests"]:
                    yield Case(
                        name=f"{name}: {group['description']}: {test['description']}",
                        schema=group["schema"],
                        value=test["data"],
                        valid=test["valid"],
                    )
