"""What flags of the command line change in a file before it is looked at."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from tasks_lib.configs.document import Document, Json, Place, Trail, parse_document
from tasks_lib.configs.formats import source_format
from tasks_lib.configs.problems import ConfigError, Problem

_FLAGS: Final = {  # flags that have a name of their own, and the keys they stand for
    "input": ("source", "path"),
    "output": ("output",),
    "ledger": ("ledger",),
    "reporting_group": ("reporting_group",),
    "model": ("model",),
    "revision_id": ("revision_id",),
    "revision_tag": ("revision_tag",),
    "compare": ("compare",),
    "serve": ("serve",),
    "use_fallback_model": ("use_fallback_model",),
    "stored_answers": ("stored_answers",),
    "workers": ("workers",),
    "runner": ("spread", "runner"),
    "runner_address": ("spread", "address"),
    "listen": ("spread", "listen"),
    "tickets": ("spread", "tickets"),
    "max_cost": ("limits", "max_cost"),
    "max_cost_per_group": ("limits", "max_cost_per_group"),
    "max_cost_per_day": ("limits", "max_cost_per_day"),
    "on_ambiguous": ("retries", "on_ambiguous"),
}
_ONE_OF: Final = ("revision_id", "revision_tag", "compare")  # a flag that is one puts the file's others away
_SHORT: Final = {"source": "path", "output": "path", "spread": "runner"}  # what short forms stand for


def overridden(document: Document, overrides: Mapping[str, object]) -> Document:
    """The document as it would be had the file said what the flags say.

    A key is one of `_FLAGS`, such as `input`, `output` or `model`, whose value is taken as it is, or a dotted
    path such as `source.key`, whose value, if it is text, is read as YAML. Paths are then relative to the
    working directory.

    Raises:
        ConfigError: a path leads through a value that holds no keys.
    """
    if not isinstance(document.value, dict):
        return document  # which is told when the document is looked at
    problems: list[Problem] = []
    if any(name in _ONE_OF for name in overrides):
        document = replace(
            document, value={key: item for key, item in document.value.items() if key not in _ONE_OF}
        )
    if "runner" in overrides:
        document = _without_other_runner(document, str(overrides["runner"]))
    for name, value in overrides.items():
        try:
            document = _with(document, name, value)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return document


def _without_other_runner(document: Document, runner: str) -> Document:
    """The document without what it says of another runner's workers."""
    told = document.value.get("spread")
    named = told.get("runner") if isinstance(told, dict) else told
    if named in (None, runner):
        return document
    return replace(document, value={key: item for key, item in document.value.items() if key != "spread"})


def _with(document: Document, name: str, value: object) -> Document:
    trail = _FLAGS.get(name)
    if trail is not None:
        flag = "--" + name.replace("_", "-")
        changed = _set(document, trail, _plain(value), flag=flag, written={})
        return _from_input(changed) if name == "input" else changed
    keys = tuple(name.split("."))
    flag = f"--set {name}"
    if not all(keys):
        raise ConfigError(
            [Problem(file=flag, message="this is no dotted path", remedy="Write source.key=id.")]
        )
    read, written = _read(value)
    return _set(document, keys, read, flag=flag, written=written)


def _set(
    document: Document, trail: tuple[str, ...], value: object, *, flag: str, written: Mapping[Trail, str]
) -> Document:
    place = Place(file=flag, folder=Path())
    values = {known: there for known, there in document.values.items() if known[: len(trail)] != trail}
    keys = {known: there for known, there in document.keys.items() if known[: len(trail)] != trail}
    texts = {known: text for known, text in document.written.items() if known[: len(trail)] != trail}
    for short, key in _SHORT.items():
        if trail[0] == short and len(trail) > 1 and isinstance(document.value.get(short), str):
            values[short, key] = document.place((short,))
    return replace(
        document,
        value=_placed(document.value, trail, value, flag=flag, done=()),
        values={**values, trail: place},
        keys={**keys, trail: place},
        written=texts | {(*trail, *below): text for below, text in written.items()},
    )


def _placed(within: Json, trail: tuple[str, ...], value: object, *, flag: str, done: Trail) -> Json:
    """The value with another one at the end of the trail."""
    if not trail:
        return value
    if len(done) == 1 and isinstance(within, str) and done[0] in _SHORT:
        within = {_SHORT[str(done[0])]: within}
    if within is None:
        within = {}
    if not isinstance(within, dict):
        name = ".".join(str(part) for part in done)
        raise ConfigError([Problem(file=flag, message=f"{name} holds no keys that could be set")])
    below = _placed(within.get(trail[0]), trail[1:], value, flag=flag, done=(*done, trail[0]))
    return {**within, trail[0]: below}


def _from_input(document: Document) -> Document:
    """The document without what described the file that --input is read in place of."""
    source = {key: item for key, item in document.value["source"].items() if key != "query"}
    if source_format(str(source["path"])) is not None:
        source.pop("format", None)
    return replace(document, value={**document.value, "source": source})


def _plain(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _read(value: object) -> tuple[object, Mapping[Trail, str]]:
    """Text as the YAML that it spells, with its numbers as written, or as itself if it spells none."""
    if not isinstance(value, str):
        return _plain(value), {}
    try:
        document = parse_document(value.encode("utf-8", "surrogateescape"), file="", folder=Path())
    except ConfigError:
        return value, {}
    return document.value, document.written
