"""Pictures by OpenAI's images endpoints, as OpenAI and its imitators speak them.

    POST /images/generations    JSON; prompt is the messages' text, parameters go by the API's own names
    POST /images/edits          a form, where pictures come with the messages

The answer holds the picture in Base64, or its address, which is then fetched in the same exchange.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.multipart import FilePart, form_of
from tasks_lib.providers.openai_carried import image_fields
from tasks_lib.providers.openai_chat import request_id_of
from tasks_lib.providers.openai_errors import Errors
from tasks_lib.providers.openai_media import media_of
from tasks_lib.providers.openai_usage import usage_of
from tasks_lib.providers.protocol import Exchange, Pause, Request, Response

_SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
_NOT_SENT: Final = frozenset({"messages", "max_tokens", "max_completion_tokens"})
# The last two bound nothing here, and are refused; a task may set them so that a sum of money can be kept.
_OLD: Final = (
    "dall-e"  # these models make PNG only, know no output_format, and answer with an address unasked
)
_HOPS: Final = 3  # redirects that a picture's address may take
_FETCHES: Final = 3  # tries; the picture is paid for, and asking for another would be paid again
_BETWEEN_FETCHES: Final = 1.0  # seconds


def picture(
    messages: Sequence[Message],
    choice: ModelChoice,
    output: Output,
    *,
    provider: Provider,
    headers: Mapping[str, str],
    carried: Carried | None,
    errors: Errors,
) -> Exchange:
    """Ask for one picture, and fetch it where the answer tells only its address."""
    parameters = _parameters(choice, output, provider=provider)
    model = parameters.pop("model", choice.model.name)
    if str(model).startswith(_OLD) and output.file_type not in (None, "png"):
        return _refused(f"{model} makes pictures as PNG only, and the task asks for {output.file_type}")
    fields: dict[str, JsonValue] = {
        "model": model,
        "prompt": "\n\n".join(message.text for message in messages if message.text),
        **(image_fields(carried, provider.carries) if carried is not None else {}),
        **parameters,
    }
    files = [file for message in messages for file in message.files]
    strange = next((file for file in files if file.mime_type not in _SUFFIXES), None)
    if strange is not None:
        return _refused(
            f"the file {strange.name} is {strange.mime_type}: a picture can be made from text and from "
            "pictures (PNG, JPEG, WebP, GIF)"
        )
    base = provider.base_url.rstrip("/")
    if files:
        field = "image" if len(files) == 1 else "image[]"
        parts = [
            FilePart(
                field, f"{number}.{_SUFFIXES[file.mime_type]}", file.mime_type, file.content
            )  # never the row's name
            for number, file in enumerate(files, start=1)
        ]
        form = form_of({name: _in_form(value) for name, value in fields.items()}, parts)
        headers = {**headers, "content-type": form.content_type}
        request = Request(method="POST", url=f"{base}/images/edits", headers=headers, body=form.body)
    else:
        url = f"{base}/images/generations"
        request = Request(method="POST", url=url, headers=headers, body=orjson.dumps(fields))
    response = yield request
    made = _made(response, errors)
    if isinstance(made, Reply | Failure):
        return made
    return (yield from _fetched(made, headers=headers))


class _Told(NamedTuple):
    """An answer that tells where its picture is."""

    address: str
    reply: Reply


def _parameters(choice: ModelChoice, output: Output, *, provider: Provider) -> dict[str, JsonValue]:
    told = {name: value for name, value in choice.parameters.items() if name not in _NOT_SENT}
    asked: dict[str, JsonValue] = {}
    if str(told.get("model", choice.model.name)).startswith(_OLD):
        asked["response_format"] = "b64_json"
    else:
        if provider.image_response_format is not None:
            asked["response_format"] = provider.image_response_format
        if output.file_type is not None:
            asked["output_format"] = output.file_type
    return asked | told


def _in_form(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _made(response: Response, errors: Errors) -> Reply | Failure | _Told:
    request_id = request_id_of(response)
    if response.status != 200:
        return errors.failure(response, request_id)
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return errors.broken(response, request_id, "a body that is not JSON")
    if not isinstance(body, dict):
        return errors.broken(response, request_id, "a body that is not an object")
    usage = usage_of(body)
    data = body.get("data")
    if isinstance(body.get("error"), dict) and not data:
        return errors.failure(response, request_id, usage=usage)
    first = data[0] if isinstance(data, list) and data else None
    if not isinstance(first, dict):
        return errors.broken(response, request_id, "a body without a picture", usage=usage)
    if first.get("respect_moderation") is False:  # xAI: the picture was made, and is kept back
        return _reply(body, first, request_id, usage, finish=Finish.REFUSED)
    media = media_of(first.get("b64_json"), format=body.get("output_format"))
    if media is not None:
        return _reply(body, first, request_id, usage, media=media)
    address = first.get("url")
    if isinstance(address, str) and address.startswith("data:"):
        media = media_of(address)
        if media is not None:
            return _reply(body, first, request_id, usage, media=media)
    elif isinstance(address, str) and address:
        return _Told(address, _reply(body, first, request_id, usage))
    return errors.broken(response, request_id, "a body without a picture", usage=usage)


def _reply(
    body: Mapping[str, Any],
    first: Mapping[str, Any],
    request_id: str | None,
    usage: Usage | None,
    *,
    media: Media | None = None,
    finish: Finish = Finish.STOP,
) -> Reply:
    prompt, model = first.get("revised_prompt"), body.get("model")
    return Reply(
        text=prompt if isinstance(prompt, str) else "",
        media=media,
        finish=finish,
        usage=usage,
        model=model if isinstance(model, str) else None,
        http_status=200,
        request_id=request_id,
    )


def _fetched(told: _Told, *, headers: Mapping[str, str]) -> Exchange:
    """The picture at the address that an answer told; our key is not sent there."""
    plain = {"accept": "image/*", "user-agent": headers["user-agent"]}  # without one Together's answers 403
    address, hops, tries = told.address, 0, 0
    while True:
        if not _may_be_fetched(address):
            return _lost(
                told,
                "a picture at an address that is not fetched (only https is, at a host with a name): set the "
                "provider's image_response_format, so that the picture comes with the answer",
            )
        response = yield Request(method="GET", url=address, headers=plain)
        if response.status == 200 and response.body:
            sort = response.headers.get("content-type", "").partition(";")[0].strip() or None
            media = Media(content=bytes(response.body), mime_type=sort)
            reply = told.reply
            return Reply(
                text=reply.text,
                media=media,
                usage=reply.usage,
                model=reply.model,
                http_status=200,
                request_id=reply.request_id,
            )
        location = response.headers.get("location")
        if 300 <= response.status < 400 and location and hops < _HOPS:
            address, hops = _joined(address, location), hops + 1
            continue
        tries += 1
        if response.status < 500 or tries == _FETCHES:
            return _lost(told, f"a picture that could not be fetched: {response.status}")
        yield Pause(seconds=_BETWEEN_FETCHES)


def _may_be_fetched(address: str) -> bool:
    """Whether an address is https, names its host, and holds no password."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port  # raises when it is none
    except ValueError:
        return False
    if parts.scheme != "https" or not address.isprintable() or " " in address or "@" in parts.netloc:
        return False
    try:
        ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))
    return False


def _joined(address: str, location: str) -> str:
    try:
        return urljoin(address, location)
    except ValueError:
        return ""


def _lost(told: _Told, what: str) -> Failure:
    """The answer was made and is billed, and its picture is not to be had."""
    usage = told.reply.usage
    return Failure(
        kind=FailureKind.BROKEN_REPLY,
        message=f"200 with {what}",
        http_status=200,
        request_id=told.reply.request_id,
        usage=usage,
        model=told.reply.model,
        maybe_billed=usage is None,
    )


def _refused(message: str) -> Failure:
    """Known beforehand: no request goes out."""
    return Failure(kind=FailureKind.REJECTED, message=message)
