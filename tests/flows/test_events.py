"""Events and states, as the page on schedules has them."""

import re

from flows import events
from flows.states import __doc__ as states
from tests.flows.processes import ROOT

DOCS = (ROOT / "docs/scheduled.md").read_text("utf-8")


def test_the_page_has_every_event_and_no_other():
    """Who hangs an automation on an event finds it in the page, and finds none there that is never told."""
    ours = {events.BEGUN, events.NOTHING_TO_DO, events.ACTION_REQUIRED, *events._OF_OUTCOME.values()}
    assert set(re.findall(r"^\| `(rowmill\.[a-z.-]+)`", DOCS, flags=re.MULTILINE)) == ours
    assert set(re.findall(r"^\| (rowmill\.[a-z.-]+)", events.__doc__ or "", flags=re.MULTILINE)) == ours


def test_the_page_has_every_state():
    """The states that the flow gives are in the page, by name and type."""
    told = re.findall(r"^\| [^|]+\| ([A-Z]+) +\| ([A-Za-z, ]+?) *\|$", states or "", flags=re.MULTILINE)
    named = {(name, kind) for kind, names in told for name in re.split(r", or ", names)}
    assert {("StoppedByLimit", "FAILED"), ("TakenOver", "CRASHED"), ("Suspended", "PAUSED")} <= named
    page = set(re.findall(r"^\| ([A-Za-z]+) \| ([A-Z]+) \|", DOCS, flags=re.MULTILINE))
    assert named <= page
