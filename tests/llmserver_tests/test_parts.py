"""The server's parts by themselves: draws, limits, promises, instances, counts, bytes."""

import random
import time
from email.utils import parsedate_to_datetime

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.llmserver.counts import Counts
from tests.llmserver.faults import Draw, Settings, pairs_of
from tests.llmserver.instances import instance_of
from tests.llmserver.limits import Bucket, Pauses, Window
from tests.llmserver.protocol import More, NotHttp, read
from tests.llmserver.retry_after import said

MOMENTS = st.lists(st.floats(min_value=0, max_value=30), max_size=60).map(sorted)


def chance(seed):
    return random.Random(seed)  # noqa: S311  # pretend faults, no secret


def test_draws_are_repeatable():
    """With det, fault and latency follow from seed, row and attempt alone, in about the asked proportion."""
    settings = Settings(e429=0.2, e500=0.1, lat=100, sigma=0.5, det=1, seed=7)
    first, again = (Draw(settings, chance(n)) for n in (1, 2))
    drawn = [first.fault(str(row), 1) for row in range(5_000)]
    assert drawn == [again.fault(str(row), 1) for row in range(5_000)]
    assert drawn != [again.fault(str(row), 2) for row in range(5_000)]
    assert 900 < drawn.count("e429") < 1_100
    assert 420 < drawn.count("e500") < 580
    latencies = sorted(first.latency(str(row), 1) for row in range(2_001))
    assert latencies == sorted(again.latency(str(row), 1) for row in range(2_001))
    assert 0.095 < latencies[1_000] < 0.105


def test_first_attempts_fail():
    """fail_first fails the first attempts of every row and no other."""
    draw = Draw(Settings(fail_first=2, fail_status=503), chance(1))
    assert [draw.fault("a", attempt) for attempt in (1, 2, 3)] == ["e503", "e503", None]


@pytest.mark.parametrize(
    "text", ["lat", "lta=3", "lat=soon", "lat=-1", "e429=0.6,e500=0.6", "ra_mode=x", "fail_status=200"]
)
def test_settings_refuse_nonsense(text):
    """A misspelt setting is refused, not ignored."""
    with pytest.raises(ValueError, match=r"\w"):
        Settings().changed(pairs_of(text))


@given(MOMENTS, st.integers(1, 5), st.floats(min_value=0.5, max_value=10))
def test_window_is_exact(moments, limit, seconds):
    """No window of the given length ever holds more than the limit, and whoever waits as told is let in."""
    window, let_in = Window(), Counts()
    for moment in moments:
        room = window.take(moment, limit=limit, seconds=seconds)
        if room.taken:
            let_in.arrivals.append(moment)
        else:
            assert 0 < room.wait <= seconds
    assert let_in.busiest(seconds)[0] <= limit
    if moments and not room.taken:
        assert window.take(moments[-1] + room.wait + 1e-6, limit=limit, seconds=seconds).taken


@given(MOMENTS, st.floats(min_value=0.01, max_value=40))
def test_busiest_window(moments, seconds):
    """The busiest window is what counting from every arrival finds."""
    counts = Counts()
    for moment in moments:
        counts.arrivals.append(moment)
    brute = max((sum(0 <= other - one < seconds for other in moments) for one in moments), default=0)
    assert counts.busiest(seconds)[0] == brute


def test_bucket_refills():
    """A bucket begins full, is empty after its depth, and lets one in again when it says."""
    bucket = Bucket()
    rooms = [bucket.take(10.0, rate=2, depth=3, cost=1, limit=120) for _ in range(4)]
    assert [room.taken for room in rooms] == [True, True, True, False]
    assert (rooms[2].left, rooms[3].wait, rooms[3].whole) == (0.0, 0.5, 1.5)
    assert bucket.take(10.5, rate=2, depth=3, cost=1, limit=120).taken


def test_pauses():
    """A pause is broken until it ends; within its grace, a request was under way already."""
    pauses = Pauses()
    assert pauses.broken(1.0, 0.0) is None
    pauses.ask(1.0, 3.0)
    pauses.ask(1.5, 2.0)
    pauses.ask(2.0, 4.0)
    assert pauses.broken(1.25, 0.5) == (0.0, 0.25)
    assert pauses.broken(1.25, 0.0) == (1.75, 0.25)
    assert pauses.broken(2.25, 0.5) == (0.75, 1.25)
    assert pauses.broken(2.25, 0.0) == (1.75, 1.25)
    assert pauses.broken(3.5, 0.0) == (0.5, 1.5)
    assert pauses.broken(4.0, 0.0) is None


@pytest.mark.parametrize(
    ("mode", "lines", "due"),
    [
        ("s", {"Retry-After": "2"}, 102.0),
        ("frac", {"Retry-After": "1.250"}, 101.25),
        ("ms", {"retry-after-ms": "1250"}, 101.25),
        ("both", {"retry-after-ms": "1250", "Retry-After": "2"}, 101.25),
        ("bad", {"Retry-After": "soon"}, None),
        ("none", {}, None),
    ],
)
def test_retry_after_promises_what_it_says(mode, lines, due):
    """The moment held against a client is the one that the header told it."""
    text, until = said(mode, 1.25, monotonic=100.0, wall=time.time())
    assert dict(line.split(": ", 1) for line in text.splitlines()) == lines
    assert until == due


def test_retry_after_date():
    """A date is promised to the second that it names."""
    text, until = said("date", 1.25, monotonic=100.0, wall=1_800_000_000.5)
    assert parsedate_to_datetime(text.split(": ", 1)[1].strip()).timestamp() == 1_800_000_002
    assert until == 101.5


SCHEMA = {
    "type": "object",
    "properties": {
        "row_id": {"type": "string"},
        "label": {"enum": ["good", "bad", "so-so"]},
        "kind": {"type": "string", "minLength": 12, "maxLength": 14},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "stars": {"type": "integer", "exclusiveMinimum": 0, "maximum": 5},
        "sure": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "note": {"type": ["string", "null"]},
        "year": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "place": {"$ref": "#/$defs/place"},
    },
    "required": ["row_id", "label", "kind", "score", "stars", "sure", "tags", "note", "year", "place"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}},
}


def test_instances_are_valid():
    """An instance obeys its schema, names its row, and differs between rows but never between calls."""
    jsonschema_rs.meta.validate(SCHEMA)
    check = jsonschema_rs.validator_for(SCHEMA)
    made = [instance_of(SCHEMA, str(row)) for row in range(200)]
    assert [check.is_valid(one) for one in made] == [True] * 200
    assert [one["row_id"] for one in made] == [str(row) for row in range(200)]
    assert made == [instance_of(SCHEMA, str(row)) for row in range(200)]
    assert {one["label"] for one in made} == {"good", "bad", "so-so"}
    assert {one["stars"] for one in made} == {1, 2, 3, 4, 5}


REQUEST = (
    b"POST /v1/x?y=1 HTTP/1.1\r\nHost: h\r\nX-ROW-ID:  7 \r\nContent-Length: 5\r\n"
    b"Authorization: Bearer k\r\n\r\nhello"
)
CHUNKED = b"POST /v1/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize("whole", [REQUEST, CHUNKED])
def test_requests_are_read_whole(whole):
    """No beginning of a request is taken for one, and what follows it is left alone."""
    assert all(isinstance(read(whole[:n]), More) for n in range(len(whole)))
    request, length = read(whole + b"GET / HTTP/1.1\r\n")
    assert (request.body, length) == (b"hello", len(whole))


def test_headers_are_read():
    """Header names know no case, and their values are stripped."""
    request, _ = read(REQUEST)
    assert (request.method, request.target) == ("POST", "/v1/x?y=1")
    assert (request.row_id, request.authorization, request.closing) == ("7", "Bearer k", False)


@pytest.mark.parametrize(
    "told", [b"hello\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"x" * 70_000]
)
def test_what_is_no_http(told):
    """Bytes that will never be a request are refused at once."""
    with pytest.raises(NotHttp):
        read(told)
