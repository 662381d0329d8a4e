"""The most that a call can cost, known before it is made."""

from collections.abc import Sequence
from decimal import Decimal

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.file_tokens import most_tokens
from tasks_lib.domain.output import Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.pricing import PriceList, cost_of
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage

_A_MESSAGE = 16  # tokens that a message's frame takes, generously
_A_REQUEST = 256  # tokens around the messages: what is told of the answer's form, and the request's own frame


def worst_cost(
    messages: Sequence[Message],
    choice: ModelChoice,
    output: Output,
    prices: PriceList,
    *,
    most_output: int | None,
) -> Decimal | None:
    """Dollars for a call whose every byte is a token and whose answer has so many tokens at most.

    Files count as much as they can at most, see `most_tokens`.

    None if nothing bounds the answer, and its tokens cost something.
    """
    if most_output is None:
        if any(step.output for _, step in prices.steps):
            return None
        most_output = 0
    parameters = len(orjson.dumps(choice.parameters))  # tools and the like are read by the model, too
    most_input = (
        _A_REQUEST
        + _most_of_form(output)
        + parameters
        + sum(_A_MESSAGE + len(message.text.encode()) for message in messages)
        + sum(most_tokens(file, choice.model.name) for message in messages for file in message.files)
    )
    return max(
        cost_of(
            Usage(
                input_tokens=most_input,
                output_tokens=most_output,
                cached_tokens=cached,
                cache_write_tokens=written,
            ),
            step,
        )
        for _, step in prices.steps
        for cached, written in ((0, 0), (most_input, 0), (0, most_input))  # nobody says which is dearest
    )


def _most_of_form(output: Output) -> int:
    """Tokens of what is told of the answer's form: twice the schema, which some render with more words."""
    schema, words = schema_asked(output), form_in_words(output)
    return max(
        len(orjson.dumps(schema)) * 2 if schema is not None else 0,
        len(words.encode()) if words is not None else 0,
    )
