"""How many tokens a call will use."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.plan import Message
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.forecast import OUTPUT_TOKENS, Forecast
from tasks_lib.engine.run import utc_now

PROMPT = [Message(role="system", text="x" * 100), Message(role="user", text="y" * 200)]


def used(inputs, outputs):
    return Usage(input_tokens=inputs, output_tokens=outputs)


def test_before_anything_is_known_the_guess_is_careful():
    """A token for three characters, and a long answer, or the longest that is allowed."""
    assert sum(Forecast().likely(PROMPT, most_output=None)) == pytest.approx(100 + OUTPUT_TOKENS)
    assert sum(Forecast().likely(PROMPT, most_output=20)) == pytest.approx(100 + 20)


def test_it_learns_from_what_was_used():
    """After a hundred calls of 60 and 30 tokens the next is thought to take 90."""
    forecast = Forecast()
    for _ in range(100):
        forecast.learn(PROMPT, used(60, 30))
    assert sum(forecast.likely(PROMPT, most_output=None)) == pytest.approx(90, rel=0.01)
    assert sum(forecast.likely(PROMPT, most_output=10)) == pytest.approx(70, rel=0.01)


def test_most_answers_fit_into_what_was_thought():
    """Nineteen of twenty answers are no longer than the forecast."""
    forecast = Forecast()
    for number in range(320):
        forecast.learn(PROMPT, used(60, number % 100))
    likely = sum(forecast.likely([], most_output=None))
    assert 93 <= likely <= 97


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=60))
def test_a_forecast_is_never_beyond_what_was_seen(calls):
    """Whatever was used, the next guess is between nothing and the most so far, or the first guess."""
    forecast = Forecast()
    for inputs, outputs in calls:
        forecast.learn(PROMPT, used(inputs, outputs))
    most = max(100, *(inputs for inputs, _ in calls), 0) + max(OUTPUT_TOKENS, *(out for _, out in calls), 0)
    assert 0 <= sum(forecast.likely(PROMPT, most_output=None)) <= most * 1.001


def test_input_and_output_are_told_apart():
    """Each has a limit of its own with some providers."""
    forecast = Forecast()
    for _ in range(100):
        forecast.learn(PROMPT, used(60, 30))
    assert forecast.likely(PROMPT, most_output=None) == (pytest.approx(60, rel=0.01), 30)


def test_of_many_calls_each_needs_less():
    """What all need together is nearer to the mean, and still nineteen of twenty times enough."""
    chance = random.Random(7)  # noqa: S311  # the same answers each time
    answers = [round(chance.lognormvariate(4.6, 0.8)) for _ in range(20_000)]
    forecast = Forecast()
    for answer in answers[:256]:
        forecast.learn(PROMPT, used(60, answer))
    alone = forecast.likely([], most_output=None).output_tokens
    among = forecast.likely([], most_output=None, among=64).output_tokens
    assert sum(answers) / len(answers) < among < 0.6 * alone
    together = [sum(answers[first : first + 64]) for first in range(256, 19_900, 64)]
    assert sum(needed <= 64 * among for needed in together) >= 0.9 * len(together)


def test_an_empty_prompt_teaches_nothing_absurd():
    """No characters are taken for one."""
    forecast = Forecast()
    forecast.learn([], used(5, 5))
    assert sum(forecast.likely([], most_output=0)) == 0


def test_times_have_a_zone():
    """What is recorded is UTC and says so."""
    assert utc_now().utcoffset().total_seconds() == 0
