"""How long a provider asks to be left alone, whatever it writes."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.providers.waits import LONGEST, retry_after_seconds

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.text(), st.text(), st.text())
def test_any_header_is_a_sensible_wait_or_none(seconds, milliseconds, date):
    """Whatever stands in the headers, nothing raises, and no wait is negative or longer than an hour."""
    wait = retry_after_seconds({"retry-after": seconds, "retry-after-ms": milliseconds, "date": date})
    assert wait is None or 0 <= wait <= LONGEST


@given(st.floats(0, LONGEST))
def test_seconds_are_taken_as_they_are(seconds):
    """Not a moment shorter."""
    assert retry_after_seconds({"retry-after": repr(seconds)}) == seconds


@given(st.integers(0, 3_599), st.floats(0, 0.999))
def test_a_date_is_never_undercut(seconds, fraction):
    """A date that is known to the second only is reached by whoever was answered late in its second."""
    answered = NOON + timedelta(seconds=fraction)
    until = NOON + timedelta(seconds=seconds)
    headers = {
        "date": format_datetime(answered.replace(microsecond=0), usegmt=True),
        "retry-after": format_datetime(until, usegmt=True),
    }
    wait = retry_after_seconds(headers)
    assert wait is not None
    assert answered + timedelta(seconds=wait) >= until
    assert wait <= seconds + 1


def test_nothing_asked_is_no_wait():
    """Without a header there is none, and not a wait of zero."""
    assert retry_after_seconds({"date": format_datetime(NOON, usegmt=True)}) is None
