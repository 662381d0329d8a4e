"""Speech by OpenAI's endpoint, as OpenAI and its imitators speak it.

    POST /audio/speech    JSON; input is the user's message, instructions is the system prompt

The answer is the recording itself. It tells no tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Media, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import ModelChoice
from tasks_lib.providers.openai_chat import request_id_of
from tasks_lib.providers.openai_errors import Errors
from tasks_lib.providers.protocol import Exchange, Request

DEFAULT_VOICE: Final = "alloy"
_NOT_SENT: Final = frozenset({"messages", "max_tokens", "max_completion_tokens"})
# The last two bound nothing here; a task may set them so that a sum of money can be kept.


def recording(
    messages: Sequence[Message],
    choice: ModelChoice,
    output: Output,
    *,
    provider: Provider,
    headers: Mapping[str, str],
    errors: Errors,
) -> Exchange:
    """Have the user's message spoken."""
    if any(message.files for message in messages):
        return Failure(
            kind=FailureKind.REJECTED, message="speech is made from text, and files came with the message"
        )
    system, said = (
        "\n\n".join(message.text for message in messages if (message.role == "system") is is_system)
        for is_system in (True, False)
    )
    fields: dict[str, JsonValue] = {"model": choice.model.name, "input": said, "voice": DEFAULT_VOICE}
    if system:
        fields["instructions"] = system
    if output.file_type is not None:
        fields["response_format"] = output.file_type
    fields |= {name: value for name, value in choice.parameters.items() if name not in _NOT_SENT}
    response = yield Request(
        method="POST",
        url=f"{provider.base_url.rstrip('/')}/audio/speech",
        headers={**headers, "accept": "audio/*, application/json"},
        body=orjson.dumps(fields),
    )
    request_id = request_id_of(response)
    if response.status != 200:
        return errors.failure(response, request_id)
    sort = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sort == "application/json":
        return errors.failure(response, request_id)
    if not response.body or sort.startswith("text/"):
        return errors.broken(response, request_id, "a body that is no recording")
    return Reply(
        text="",
        media=Media(content=bytes(response.body), mime_type=sort or None),
        http_status=200,
        request_id=request_id,
    )
