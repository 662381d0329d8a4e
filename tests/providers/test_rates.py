"""What headers say about limits, whoever writes them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.providers.rates import Rate, Rates, rates_of

DATE = "Sun, 22 Nov 2026 04:00:00 GMT"


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("6m0s", 360),
        ("12ms", 0.012),
        ("1.5s", 1.5),
        ("1h2m3s", 3_723),
        ("1d", 86_400),
        ("17µs", 17e-6),
        ("2m59.56s", 179.56),
        ("30", 30),
        ("", None),
        ("soon", None),
        ("6m of it", None),
        ("-3", None),
        ("inf", None),
        ("nan", None),
        ("400d", None),
    ],
)
def test_a_reset_is_a_duration(reset, seconds):
    """As Go writes durations, or a number of seconds; what is neither, or beyond a day, is not told."""
    rates = rates_of({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": reset})
    assert rates == Rates(
        requests=Rate(remaining=7, reset=None if seconds is None else pytest.approx(seconds))
    )


def test_requests_and_tokens_as_openai_says_them():
    """Limit, remaining and reset of both."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
        "date": DATE,
    }
    assert rates_of(headers) == Rates(
        requests=Rate(limit=60, remaining=59, reset=1),
        tokens=Rate(limit=150_000, remaining=149_984, reset=360),
    )


def test_input_and_output_as_anthropic_says_them():
    """The reset is a date, against the response's own, and a second more as both are cut to the second."""
    headers = {"date": DATE}
    for kind, limit in (("requests", 50), ("tokens", 480), ("input-tokens", 400), ("output-tokens", 80)):
        headers |= {
            f"anthropic-ratelimit-{kind}-limit": str(limit),
            f"anthropic-ratelimit-{kind}-remaining": "5",
            f"anthropic-ratelimit-{kind}-reset": "2026-11-22T04:00:09Z",
        }
    assert rates_of(headers) == Rates(
        requests=Rate(limit=50, remaining=5, reset=10),
        tokens=Rate(limit=480, remaining=5, reset=10),
        input_tokens=Rate(limit=400, remaining=5, reset=10),
        output_tokens=Rate(limit=80, remaining=5, reset=10),
    )


@pytest.mark.parametrize(
    ("reset", "date", "seconds"),
    [
        ("2026-11-22T05:00:09+01:00", DATE, 10),
        ("2026-11-22T03:59:00Z", DATE, 1),
        ("2026-11-22T04:00:09Z", None, None),
        ("2026-11-22T04:00:09Z", "yesterday", None),
        ("2026-11-22T04:00:09", DATE, None),
        ("2027-11-22T04:00:09Z", DATE, None),
        ("never", DATE, None),
    ],
)
def test_a_reset_may_be_a_date(reset, date, seconds):
    """With its zone, and only beside the response's own date; one that has gone by is a second away."""
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": reset,
        "date": date,
    }
    assert rates_of({name: value for name, value in headers.items() if value is not None}) == Rates(
        requests=Rate(remaining=0, reset=seconds)
    )


@pytest.mark.parametrize(
    ("remaining", "reset", "closed"),
    [("0", "12", 12), ("1", "12", None), ("0", "0", None), ("0", "1795320000", None), ("0", None, None)],
)
def test_the_plain_form_closes_where_nothing_is_left(remaining, reset, closed):
    """Its limit is of no known period; nothing left for some seconds is sure."""
    headers = {"ratelimit-limit": "100", "ratelimit-remaining": remaining}
    if reset is not None:
        headers["ratelimit-reset"] = reset
    assert rates_of(headers) == (None if closed is None else Rates(closed_for=closed))


def test_nothing_said_is_nothing():
    """Most responses say nothing."""
    assert rates_of({"content-type": "application/json", "date": DATE}) is None


@given(st.text(), st.text(), st.text())
def test_whatever_is_said_gives_numbers_or_nothing(limit, remaining, reset):
    """Headers are others' words: each is a number in bounds or not told."""
    for name in ("x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}"):
        said = {"limit": limit, "remaining": remaining, "reset": reset}
        rates = rates_of({name.format(word): text for word, text in said.items()} | {"date": DATE})
        assert rates is not None
        assert rates.requests is not None
        for number in (rates.requests.limit, rates.requests.remaining, rates.requests.reset):
            assert number is None or (0 <= number < math.inf)
