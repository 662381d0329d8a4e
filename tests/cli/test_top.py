"""What a look at a running batch shows of its models."""

from dataclasses import replace

from rich.console import Console

from tasks_lib.cli.top import as_mapping, picture, rates_between
from tasks_lib.live import ModelNow, Phase, Snapshot

LOOK = Snapshot(batch_id="b", job="reviews", phase=Phase.RUNNING, seconds=10.0, pid=1, rows=100)
BIG = ModelNow(model="acme:big", breaker="open", failures=8, tried_in=4.0, outages=1, passed_by=1_200)
SMALL = ModelNow(model="acme:small", breaker="closed")


def drawn(look: Snapshot) -> str:
    console = Console(width=120, record=True, file=None)
    with console.capture() as caught:
        console.print(picture(look, rates_between(look, look)))
    return caught.get()


def test_a_model_that_is_down_is_shown_beside_those_that_are_up() -> None:
    """Its breaker, its failures, when it is tried again, and the rows that went by it."""
    lines = drawn(replace(LOOK, models=(BIG, SMALL))).splitlines()
    (big,) = [line.split() for line in lines if "acme:big" in line]
    assert " ".join(big) == "acme:big open, tried in 4.0 s 8 in a row 1,200 rows"
    (small,) = [line.split() for line in lines if "acme:small" in line]
    assert small == ["acme:small", "closed"]


def test_a_model_that_is_being_tried_is_half_open() -> None:
    """One call tries it."""
    half = replace(BIG, breaker="half open", tried_in=0.0)
    assert "half open" in drawn(replace(LOOK, models=(half,)))


def test_sound_models_take_no_room() -> None:
    """As long as no model was down, there is nothing to tell."""
    assert "breaker" not in drawn(replace(LOOK, models=(SMALL,)))


def test_a_program_sees_all_models() -> None:
    """As JSON, states are told in any case."""
    models = as_mapping(replace(LOOK, models=(SMALL,)), rates_between(LOOK, LOOK))["models"]
    assert models == (
        {
            "model": "acme:small",
            "breaker": "closed",
            "failures": 0,
            "tried_in": 0.0,
            "outages": 0,
            "passed_by": 0,
            "why": None,
        },
    )
