"""What a job file says of workers that others start."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.document import Document, Trail
from tasks_lib.configs.fields import MAPPING, TEXT, Keys, Text, kind_of
from tasks_lib.configs.paths import path_from
from tasks_lib.configs.problems import Problem
from tasks_lib.domain.spread import BY_HAND, Spread

MOST_HERE: Final = 64  # workers of one machine

_WITH_PORT: Final = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.%\w]+)\](:(?P<six_port>\d+))?|(?P<host>[^\s:/@\[\]]+)(:(?P<port>\d+))?"
)
_ALL_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104  # named, not bound

Runner = Literal["dask", "ray", "hand"]


def _cluster(value: str) -> str:
    if re.search(r"[\s@?#]", value):
        raise PydanticCustomError(
            "cluster", "must be an address such as tcp://scheduler:8786 or ray://head:10001, without a login"
        )
    return value


def _listened(value: str) -> str:
    if _host_and_port(value) is None:
        raise PydanticCustomError(
            "listen", "must be an address of this machine, or address:port, such as 10.0.0.5:8750"
        )
    return value


def _host_and_port(value: str) -> tuple[str, int] | None:
    """None: it is none. An address of IPv6 stands in brackets where a port follows."""
    if value.count(":") > 1 and not value.startswith("["):
        value = f"[{value}]"
    match = _WITH_PORT.fullmatch(value)
    if match is None:
        return None
    port = int(match["six_port"] or match["port"] or 0)
    return (match["six"] or match["host"], port) if port <= 65_535 else None


class SpreadFile(Keys):
    """Who starts the workers, and where they call in."""

    runner: Runner = Field(
        description="dask or ray: one of their tasks for each worker, by way of Prefect; hand: people or "
        "programs of yours start `rowmill worker` with the tickets that are written"
    )
    address: Annotated[Text, AfterValidator(_cluster)] | None = Field(
        default=None,
        description="A cluster that is there, such as tcp://scheduler:8786 or ray://head:10001; without it "
        "one is started on this machine, and ends with the run",
    )
    listen: (
        Annotated[
            Text, AfterValidator(_listened), WithJsonSchema({"type": "string", "examples": ["10.0.0.5:8750"]})
        ]
        | None
    ) = Field(
        default=None,
        description="Where workers call in at the batch: an address of this machine, and perhaps a port; "
        "by default any port of the address from which the cluster is reached",
    )
    advertise: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None,
        description="By which names or addresses workers call, in this order, where it is not by listen",
    )
    tickets: Text | None = Field(
        default=None,
        description="With hand: the folder that tickets are written into, relative to this file",
    )


SpreadKey = (
    Annotated[Annotated[Runner, Tag(TEXT)] | Annotated[SpreadFile, Tag(MAPPING)], Discriminator(kind_of)]
    | None
)
"""A runner, or a runner with what it needs."""


def spread_of(document: Document, told: SpreadKey) -> Spread | None:
    """Who starts the workers; None: the batch itself, on its own machine."""
    file = _whole(told)
    if file is None:
        return None
    host, port = (_host_and_port(file.listen) if file.listen is not None else None) or (None, 0)
    tickets: Path | None = None
    if file.tickets is not None:
        tickets = path_from(document.place(("spread", "tickets")).folder, file.tickets)
    return Spread(
        runner=file.runner,
        address=file.address,
        host=host,
        port=port,
        advertise=tuple(file.advertise or ()),
        tickets=tickets,
    )


def spread_problems(document: Document, told: SpreadKey, *, workers: int) -> Iterator[Problem]:
    """What does not fit together."""
    file = _whole(told)
    if file is None:
        if workers > MOST_HERE:
            yield document.problem(
                ("workers",),
                f"workers: {workers} processes on one machine are more than {MOST_HERE}",
                "Have fewer, or spread them over machines by `spread`.",
            )
        return
    at: Trail = ("spread",)
    listened = _host_and_port(file.listen) if file.listen is not None else None
    if file.runner != BY_HAND:
        if file.tickets is not None:
            yield document.problem((*at, "tickets"), f"spread.tickets is for workers started by {BY_HAND}")
        if listened is not None and listened[0] in _ALL_ADDRESSES and not (file.advertise or file.address):
            yield _unnamed(document)
        return
    if file.address is not None:
        yield document.problem((*at, "address"), "spread.address is of a cluster, and none is asked for")
    if file.tickets is None:
        yield document.problem(
            at,
            "workers that are started by hand need tickets",
            "Name a folder for them: --tickets, spread.tickets.",
        )
    if listened is None:
        yield document.problem(
            at,
            "it is not said where workers that are started by hand call in",
            "Name an address of this machine that they reach: --listen, spread.listen.",
        )
    elif listened[0] in _ALL_ADDRESSES and not file.advertise:
        yield _unnamed(document)


def _unnamed(document: Document) -> Problem:
    return document.problem(
        ("spread", "listen"),
        "spread.listen means every address of this machine, and workers have to call one",
        "Name one, or say by spread.advertise how they reach it.",
    )


def _whole(told: SpreadKey) -> SpreadFile | None:
    return SpreadFile(runner=told) if isinstance(told, str) else told
