"""How many tokens a call will use, learned from those that ended."""

from collections import deque
from collections.abc import Sequence

from tasks_lib.domain.plan import Message
from tasks_lib.domain.usage import Usage

CHARACTERS_A_TOKEN = 3.0  # before anything is known; on the safe side for English
OUTPUT_TOKENS = 512  # the same


class Forecast:
    """Tokens of one model's calls: input by the length of the prompt, output by what was needed so far."""

    def __init__(self) -> None:
        """Begin with careful guesses."""
        self._a_character = 1 / CHARACTERS_A_TOKEN
        self._outputs: deque[int] = deque(maxlen=256)
        self._likely_output = OUTPUT_TOKENS

    def of(self, messages: Sequence[Message], *, most_output: int | None) -> float:
        """Tokens that a call is likely to use, input and output together."""
        characters = sum(len(message.text) for message in messages)
        output = self._likely_output if most_output is None else min(most_output, self._likely_output)
        return characters * self._a_character + output

    def learn(self, messages: Sequence[Message], usage: Usage) -> None:
        """Take a call that ended into account."""
        characters = max(1, sum(len(message.text) for message in messages))
        self._a_character += 0.1 * (usage.input_tokens / characters - self._a_character)
        self._outputs.append(usage.output_tokens)
        if len(self._outputs) >= 20 and len(self._outputs) % 16 == 0:
            self._likely_output = sorted(self._outputs)[int(len(self._outputs) * 0.95)]
