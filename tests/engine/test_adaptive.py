"""Limits that nobody told us are found and used, shown over minutes of a modelled provider's time."""

import random

import pytest

from tasks_lib.engine.adaptive import Adaptive, End
from tests.engine.provider_model import Provider, lived


@pytest.mark.parametrize("sigma", [0.0, 0.5])
@pytest.mark.parametrize("latency", [0.005, 0.1, 1.0])
def test_a_rate_of_calls_is_found(latency, sigma):
    """After a minute 95 % of an untold 50 a second, burst 10, are used; under 2 % of calls were refused."""
    story = lived(Provider(rps=50, burst=10, latency=latency, sigma=sigma), seconds=180)
    assert story.rate(60, 180) >= 0.95 * 50
    assert story.refusals() < 0.02


@pytest.mark.parametrize(("rps", "burst"), [(5, 5), (50, 50), (50, 3_000), (500, 50), (500, 500)])
def test_any_rate_and_any_burst_is_found(rps, burst):
    """From 5 a second to 500, and with a bucket that holds a minute of it."""
    story = lived(Provider(rps=rps, burst=burst, latency=0.3, sigma=0.5), seconds=180)
    assert story.rate(60, 180) >= 0.95 * rps
    assert story.refusals() < 0.02


@pytest.mark.parametrize("tpm", [60_000, 600_000])
def test_a_rate_of_tokens_is_found(tpm):
    """The same for tokens a minute, whose bucket begins with a whole minute of them."""
    story = lived(Provider(tpm=tpm, latency=0.1), seconds=180)
    assert story.token_rate(60, 180) >= 0.95 * tpm / 60
    assert story.refusals() < 0.02


@pytest.mark.parametrize("tpm", [60_000, 600_000])
def test_tokens_are_told_from_calls(tpm):
    """With calls of very different sizes (log-normal, sigma 1) tokens a second are held, and not calls."""
    chance = random.Random(3)  # noqa: S311  # the same each time
    sizes = [chance.lognormvariate(4.6, 1.0) for _ in range(50_000)]
    story = lived(Provider(tpm=tpm, latency=0.3, sigma=0.5), seconds=180, sizes=sizes.__getitem__)
    assert story.token_rate(60, 180) >= 0.95 * tpm / 60
    assert story.refusals() < 0.02


def test_sizes_do_not_disturb_a_rate_of_calls():
    """Where calls are limited, their sizes do not matter."""
    chance = random.Random(4)  # noqa: S311  # the same each time
    sizes = [chance.lognormvariate(4.6, 1.0) for _ in range(50_000)]
    story = lived(Provider(rps=50, burst=10, latency=0.3, sigma=0.5), seconds=180, sizes=sizes.__getitem__)
    assert story.rate(60, 180) >= 0.95 * 50
    assert story.refusals() < 0.02


@pytest.mark.parametrize("most", [5, 20, 100])
def test_a_limit_of_calls_in_flight_is_found(most):
    """Between the first minute and the third 93 % of what so many calls can bring is answered."""
    story = lived(Provider(most=most, latency=1.0, sigma=0.5), seconds=180)
    assert story.rate(60, 180) >= 0.93 * most / 1.133  # the mean of these latencies
    assert story.refusals() < 0.02
    assert story.limit_at(180) <= most + 1


def test_a_refusal_without_a_wait_is_heeded_too():
    """A provider that names no pause, or is not heeded by others, is slowed down for all the same."""
    story = lived(Provider(rps=50, burst=10, latency=0.1), seconds=180, heed=False)
    assert story.rate(60, 180) >= 0.95 * 50
    assert story.refusals() < 0.02


def test_calls_that_are_late_all_at_once_do_not_cost_the_rate():
    """A machine that stands still for 150 ms every 7 s, within the provider's burst: 95 % all the same."""
    story = lived(
        Provider(rps=50, burst=10, latency=0.1, sigma=0.5),
        seconds=180,
        late=lambda now: max(now, now - now % 7 + 0.15),
    )
    assert story.rate(60, 180) >= 0.95 * 50
    assert story.refusals() < 0.02


def test_a_limit_that_falls_to_half_is_heeded_soon():
    """Within ten seconds calls go at the new rate, and ten seconds later they use it."""
    provider = Provider(rps=50, burst=10, latency=0.1, sigma=0.5)
    story = lived(provider, seconds=240, changes=[(120, lambda now: provider.requests.change(now, 25, 5))])
    assert 0.9 * 25 <= story.rate(140, 240) <= 25
    assert story.refusals(120, 130) < 0.05
    assert story.refusals(140, 240) < 0.01


def test_a_limit_that_rises_is_found():
    """Four times the rate is used within four minutes, though more is tried but rarely."""
    provider = Provider(rps=25, burst=5, latency=0.1, sigma=0.5)
    story = lived(provider, seconds=420, changes=[(120, lambda now: provider.requests.change(now, 100, 20))])
    assert story.rate(360, 420) >= 0.9 * 100
    assert story.refusals() < 0.02


def test_refusals_that_come_whatever_is_done_do_not_bring_us_to_a_stand():
    """Two of a hundred calls are refused at any rate: a third of the 33 a second that their pauses allow."""
    rates = [
        lived(Provider(latency=0.3, sigma=0.5, noise=0.02, seed=seed), seconds=300).rate(120, 300)
        for seed in range(6)
    ]
    assert sum(rates) / len(rates) >= 33 / 3
    assert min(rates) >= 3


@pytest.mark.parametrize("seed", range(8))
def test_a_provider_without_a_limit_is_filled(seed):
    """At 1 s median latency, however scattered: hundreds in flight within a dozen of round trips."""
    story = lived(Provider(latency=1.0, sigma=0.6, seed=seed), seconds=20)
    assert story.limit_at(13.5) >= 500
    assert story.refusals() == 0


def test_no_more_is_tried_than_may_be():
    """The limit grows up to what it is given, and not beyond."""
    story = lived(Provider(latency=0.5), seconds=30, most=100)
    assert max(limit for _, limit in story.limits) == 100


def test_what_is_not_used_does_not_grow():
    """With ten calls in flight at the most the limit stays where it began."""
    story = lived(Provider(latency=0.5, sigma=0.5), seconds=60, demand=10)
    assert {limit for _, limit in story.limits} == {16}


@pytest.mark.parametrize("slots", [4, 32, 200])
def test_a_full_server_is_not_given_more(slots):
    """A server with so many slots and an endless queue: it stays busy, and its queue stays short."""
    story = lived(Provider(slots=slots, latency=1.0, sigma=0.5), seconds=600)
    assert story.rate(60, 600) >= 0.9 * slots / 1.133
    late = [limit for at, limit in story.limits if at > 120]
    assert sum(late) / len(late) <= 2.5 * slots
    assert story.refusals() == 0


class Table:
    """Calls that are begun and ended by hand."""

    def __init__(self, **given):
        self.adaptive = Adaptive(now=0.0, **given)
        self.now = 0.0
        self.under_way = []

    def begin(self, calls):
        for _ in range(calls):
            self.under_way.append(self.adaptive.began(now=self.now, in_flight=len(self.under_way) + 1))

    def end(self, end, calls=None, seconds=1.0):
        self.now += seconds
        for _ in range(len(self.under_way) if calls is None else calls):
            ticket = self.under_way.pop(0)
            self.adaptive.ended(ticket, now=self.now, in_flight=len(self.under_way), end=end)


def test_a_wave_is_one_cut():
    """However many of those are refused that began before the cut, the limit falls once."""
    table = Table()
    table.begin(16)
    table.end(End.RATE_LIMITED, 1)
    limit = table.adaptive.limit
    assert 1 <= limit < 16
    table.end(End.RATE_LIMITED)
    assert table.adaptive.limit == limit
    assert table.adaptive.state().waves == 1


def test_failures_do_not_cut():
    """5xx and timeouts say nothing about a limit."""
    table = Table()
    for _ in range(20):
        table.begin(16)
        table.end(End.FAILED)
    assert table.adaptive.limit == 16
    assert table.adaptive.delay(now=table.now) == 0
    assert table.adaptive.state().waves == 0


def test_what_was_given_back_counts_for_nothing():
    """A call that was never made is neither an answer nor a refusal."""
    table = Table()
    for _ in range(20):
        table.begin(16)
        table.end(End.GIVEN_BACK)
    assert (table.adaptive.limit, table.adaptive.state().why) == (16, "began")


def test_it_never_falls_below_one():
    """Refused again and again, one call at a time still goes."""
    table = Table(most=4)
    assert table.adaptive.limit == 4
    for _ in range(50):
        table.begin(table.adaptive.limit)
        table.end(End.RATE_LIMITED)
    assert table.adaptive.limit == 1
    assert table.adaptive.delay(now=table.now + 60) == 0


def test_it_says_what_it_found():
    """The state tells the limit, the pace and why it changed last."""
    adaptive = Adaptive(now=0.0)
    assert (adaptive.state().limit, adaptive.state().calls_per_second, adaptive.state().why) == (
        16,
        None,
        "began",
    )
    lived(Provider(rps=50, burst=10, latency=0.1), seconds=120, adaptive=adaptive)
    state = adaptive.state()
    assert state.calls_per_second == pytest.approx(50, rel=0.05)
    assert state.tokens_per_second is None
    assert state.pace_why in {"grew", "429"}
    assert state.waves > 1
