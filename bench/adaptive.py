"""Limits that are told beside limits that are found: how much is used, and how many calls are refused."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server

_A_CALL = 50.0  # calls a second that are allowed, in each of the cases
_BY_MINUTE = """\
with calls as (
    select http_status, epoch(started_at) - min(epoch(started_at)) over () as since
    from   attempts
    where  http_status is not null
)
select least(floor(since / 60), 1)::integer                     as phase,  -- the first minute, and after
       count(*) filter (http_status = 200)                   as answered,
       count(*) filter (http_status = 429)                   as refused,
       max(since) - min(since)                                   as seconds
from   calls
where  since < ?
group  by phase
order  by phase
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    server: Mapping[str, float]  # its settings; it tells nobody of its limits
    told: Mapping[str, int]  # the limits of the job; none is given otherwise
    head_start: int = 0  # calls that a bucket lets in at once before its rate counts


def adaptive(server: Server, *, seconds: int = 180) -> Iterator[str]:
    """The same limits told and not told, for so many seconds each, as the ledger shows them."""
    tokens = _tokens_of_a_call(server)
    per_minute = int(_A_CALL * 60)
    calls = {"rps": _A_CALL, "burst": 10, "lat": 100, "sigma": 0.5, "tell": 0}
    of_tokens = {"tpm": per_minute * tokens, "lat": 100, "sigma": 0.5, "tell": 0}
    for case in (
        _Case(name="calls, told", server=calls, told={"requests_per_minute": per_minute}),
        _Case(name="calls, not told", server=calls, told={}),
        _Case(name="tokens, not told", server=of_tokens, told={}, head_start=per_minute),
        _Case(
            name="in flight, not told", server={**calls, "rps": 0, "max_inflight": 40, "lat": 700}, told={}
        ),
    ):
        yield from _measured(server, case, seconds=seconds)


def _measured(server: Server, case: _Case, *, seconds: int) -> Iterator[str]:
    server.reset()
    rows = int(_A_CALL * (seconds + 5)) + case.head_start
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder),
            base_url=server.base_url(**case.server),
            rows=rows,
            in_flight=None,
            limits=case.told,
            retries={"rate_limited": 100},
            output=None,
        )
        figures = json_of("bench.one_run", str(job))
        with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
            phases = ledger.execute(_BY_MINUTE, [float(seconds)]).fetchall()
    assert figures["completed"] == rows, "a row was not answered"
    for (_, answered, refused, lasted), when in zip(
        phases, ("the first minute", f"after, to {seconds} s"), strict=False
    ):
        yield (
            f"{case.name:20} {when:18} {answered / lasted / _A_CALL:6.1%} of the limit, "
            f"{refused / max(1, answered + refused):6.2%} of calls refused ({refused})"
        )


def _tokens_of_a_call(server: Server) -> int:
    """What the server counts against its tokens a minute for one call of the benchmark's job."""
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(Path(folder), base_url=server.base_url(), rows=1, in_flight=1, output=None)
        server.reset()
        json_of("bench.one_run", str(job))
    return int(server.stats()["tok_in"]) + 8  # the answer's tokens that it sets aside
