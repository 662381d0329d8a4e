"""The protocol over real sockets: pictures, speech and files, against the loopback server."""

import wave
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.output import Finish, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Timeouts
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.engine.exchange import have
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.providers.openai import OpenAI
from tests.llmserver import Server, running_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the pool's


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as server:
        yield server


async def outcome(server: Server, output: Output, message: Message, **settings: float) -> Reply | Failure:
    """What comes of one exchange with the server, which behaves as the settings say."""
    provider = Provider(name="loopback", protocol="openai", base_url=server.base_url(**settings))
    choice = ModelChoice(model=Model("loopback", "pretend"))
    exchange = OpenAI(provider, None).exchange([message], choice, output)
    async with PooledTransport(Timeouts(total=20)) as pool:
        return await have(exchange, pool)


def row(number: int) -> Message:
    return Message(role="user", text=f"row_id: {number}. A lighthouse.")


@pytest.mark.parametrize("file_type", ["png", "jpeg"])
async def test_r19_a_picture_arrives_as_it_was_made(running, file_type):
    """R19: a PNG or JPEG that decodes, another for another row, with its tokens."""
    output = Output.of(Modality.IMAGE, file_type=file_type)
    one, other = [await outcome(running, output, row(number)) for number in (1, 2)]
    assert isinstance(one, Reply), one
    with Image.open(BytesIO(one.media.content)) as picture:
        picture.load()
        assert (picture.format, picture.size) == (file_type.upper(), (16, 16))
    assert one.media.mime_type == f"image/{file_type}"
    assert one.media != other.media
    assert one.usage.output_tokens == len(one.media.content)
    assert one.request_id


async def test_r19_a_recording_arrives_as_it_was_made(running):
    """R19: a WAV that decodes, another for another row, with a request's id and no tokens."""
    output = Output.of(Modality.AUDIO, file_type="wav")
    one, other = [await outcome(running, output, row(number)) for number in (1, 2)]
    with wave.open(BytesIO(one.media.content)) as recording:
        assert recording.getnframes() / recording.getframerate() == 0.25
    assert one.media.mime_type == "audio/wav"
    assert one.media != other.media
    assert (one.usage, one.request_id is not None) == (None, True)


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("e429", FailureKind.RATE_LIMITED),
        ("e500", FailureKind.SERVER_ERROR),
        ("e401", FailureKind.UNAUTHORIZED),
        ("e_reset", FailureKind.CONNECTION),
    ],
)
async def test_failures_are_those_of_words(running, modality, fault, kind):
    """Limits, errors and lost connections mean on these endpoints what they mean in chat."""
    failed = await outcome(running, Output.of(modality), row(3), **{fault: 1})
    assert isinstance(failed, Failure), failed
    assert failed.kind is kind


async def test_half_a_picture_is_a_broken_reply(running):
    """Half of the JSON is none; it was billed perhaps."""
    broken = await outcome(running, Output.of(Modality.IMAGE), row(4), e_malformed=1)
    assert (broken.kind, broken.maybe_billed) == (FailureKind.BROKEN_REPLY, True)


async def test_a_picture_that_is_kept_back_is_a_refusal(running):
    """With its tokens, which are billed."""
    refused = await outcome(running, Output.of(Modality.IMAGE), row(5), e_refusal=1)
    assert refused.finish is Finish.REFUSED
    assert refused.usage is not None


async def test_r15_files_travel_with_words(running):
    """R15: a request with a megabyte of picture is understood, and answered."""
    picture = Attachment(name="a.png", mime_type="image/png", content=b"\x89PNG" + bytes(1_000_000))
    message = Message(role="user", text="row_id: 6", files=(picture,))
    answered = await outcome(running, Output.of(Modality.TEXT), message)
    assert isinstance(answered, Reply), answered
    assert answered.usage.input_tokens > 300_000
