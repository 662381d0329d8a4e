"""What it costs to lease a call: our own leases, and two others by trial."""

from collections.abc import Iterator

from bench.children import json_of
from bench.simulate_leases import simulate


def leases(*, calls: int = 50_000, seconds: float = 4.0) -> Iterator[str]:
    """Lines: a lease over a connection on loopback, of Prefect, over Quack; and many workers, simulated."""
    for at_once in (1, 256):
        own = json_of(
            "bench.lease_ends", str(calls if at_once > 1 else calls // 10), "--at-once", str(at_once)
        )
        yield (
            f"own, {at_once} at once: {own['latency_ms']:.2f} ms, {own['calls_per_second']:,.0f} calls/s; "
            f"CPU a call {own['driver_us']:.0f} µs in the driver ({own['driver_alone_us']:.0f} of them "
            f"without sending), {own['worker_us']:.0f} µs in the worker"
        )
    theirs = json_of("bench.lease_trials", "prefect", "--seconds", str(seconds))
    for way in ("rate_limit", "concurrency"):
        for at_once in (1, 16):
            found = {what: theirs[f"{way}_{what}_{at_once}"] for what in _WHAT}
            yield f"prefect {way}, {at_once} at once: {_told(found)}"
    theirs = json_of("bench.lease_trials", "quack", "--seconds", str(seconds))
    for at_once in (1, 4):
        yield f"quack, {at_once} at once: {_told({what: theirs[f'{what}_{at_once}'] for what in _WHAT})}"
    yield ""
    yield "| workers | limit a minute | deaths | calls | used | late | driver µs a call | driver cores |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for workers, per_minute, deaths in (
        (10, 6_000, 0),
        (100, 6_000, 10),
        (100, 60_000, 10),
        (1_000, 60_000, 0),
    ):
        one = simulate(workers=workers, requests_per_minute=per_minute, calls=calls, deaths=deaths)
        assert one.most_in_a_minute <= per_minute
        yield (
            f"| {workers:,} | {per_minute:,} | {deaths} | {one.calls:,} | {one.share_of_limit or 0:.1%} "
            f"| {one.given_back} | {one.driver_us_per_call:.0f} | {one.driver_cores:.3f} |"
        )


_WHAT = ("ms", "per_second", "server_cpu_ms", "client_cpu_ms")


def _told(found: dict[str, float]) -> str:
    return (
        f"{found['ms']:.1f} ms, {found['per_second']:,.0f} leases/s; "
        f"CPU a lease {found['server_cpu_ms']:.1f} ms in the server, "
        f"{found['client_cpu_ms']:.1f} ms in the client"
    )
