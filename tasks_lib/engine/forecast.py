"""How many tokens a call will use, learned from those of the same task and model that ended."""

from collections import deque
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from tasks_lib.domain.file_tokens import likely_tokens
from tasks_lib.domain.plan import Message
from tasks_lib.domain.usage import Usage

CHARACTERS_A_TOKEN = 3.0  # before anything is known; on the safe side for English
OUTPUT_TOKENS = 512  # the same
_RECENT = 256  # answers that are remembered
_ENOUGH = 20  # of them, for a quantile
_QUANTILE = 0.95
_DEVIATIONS = 2.0  # of a sum of many, which is as unlikely to be passed as the quantile of one


class Likely(NamedTuple):
    """Tokens that a call is likely to use."""

    input_tokens: float
    output_tokens: float


class Forecast:
    """Tokens of one task's calls: input by the prompt's length, output by what was needed so far."""

    def __init__(self) -> None:
        """Begin with careful guesses."""
        self._a_character = 1 / CHARACTERS_A_TOKEN
        self._outputs: deque[int] = deque(maxlen=_RECENT)
        self._since = 0
        self._quantile = float(OUTPUT_TOKENS)
        self._mean = float(OUTPUT_TOKENS)
        self._deviation = 0.0

    def likely(self, messages: Sequence[Message], *, most_output: int | None, among: int = 1) -> Likely:
        """What to set aside for a call: for its output what 95 of 100 stay within, at most what it may have.

        Of `among` calls in flight each needs less: long answers and short ones make up for one another, and
        what all need together is better known than what one needs.
        """
        output = self._quantile
        if among > 1:
            output = min(output, self._mean + _DEVIATIONS * self._deviation / sqrt(among))
        if most_output is not None and most_output < output:
            output = float(most_output)
        return Likely(_characters(messages) * self._a_character, output)

    def learn(self, messages: Sequence[Message], usage: Usage) -> None:
        """Take a call that ended into account."""
        characters = max(1, _characters(messages))
        self._a_character += 0.1 * (usage.input_tokens / characters - self._a_character)
        self._outputs.append(usage.output_tokens)
        self._since += 1
        if len(self._outputs) >= _ENOUGH and self._since >= 16:
            self._since = 0
            self._look_back()

    def _look_back(self) -> None:
        outputs = sorted(self._outputs)
        many = len(outputs)
        self._quantile = float(outputs[int(many * _QUANTILE)])
        self._mean = sum(outputs) / many
        self._deviation = sqrt(sum((output - self._mean) ** 2 for output in outputs) / many)


def _characters(messages: Sequence[Message]) -> float:
    """Characters of the prompt; a file counts as so many as would make the tokens that it likely is."""
    characters = float(sum(len(message.text) for message in messages))
    for message in messages:
        if message.files:
            characters += CHARACTERS_A_TOKEN * sum(map(likely_tokens, message.files))
    return characters
