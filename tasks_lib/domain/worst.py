"""The most that a call can cost, known before it is made."""

from collections.abc import Sequence
from decimal import Decimal

import orjson

from tasks_lib.domain.file_tokens import most_tokens
from tasks_lib.domain.output import Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.pricing import PriceList, cost_of
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage

_A_MESSAGE = 16  # tokens that a message's frame takes, generously
_A_REQUEST = 256  # tokens around the messages: what is told of the answer's form, and the request's own frame


def worst_cost(
    messages: Sequence[Message], choice: ModelChoice, output: Output, prices: PriceList
) -> Decimal | None:
    """Dollars for a call whose every byte is a token and whose answer is as long as allowed.

    Files count as much as they can at most, see `most_tokens`.

    None if the answer's length is not bounded by the parameters.
    """
    most_output = choice.most_output_tokens
    if most_output is None:
        return None
    schema = len(orjson.dumps(output.schema)) * 2 if output.schema is not None else 0
    parameters = len(orjson.dumps(choice.parameters))  # tools and the like are read by the model, too
    most_input = (
        _A_REQUEST
        + schema
        + parameters
        + sum(_A_MESSAGE + len(message.text.encode()) for message in messages)
        + sum(most_tokens(file, choice.model.name) for message in messages for file in message.files)
    )
    return max(
        cost_of(Usage(input_tokens=most_input, output_tokens=most_output, cached_tokens=cached), step)
        for _, step in prices.steps
        for cached in (0, most_input)  # nobody promises that cached ones are cheaper
    )
