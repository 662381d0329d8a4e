"""Only what a batch needs is opened, and what it cannot have is told beforehand."""

from importlib.util import find_spec
from io import BytesIO
from wave import Wave_read

import httpx
import pytest
from PIL import Image

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.engine.border import OverHttpx
from tasks_lib.engine.exchange import have
from tasks_lib.local import LOCAL_BASE_URL, PACKAGED_MODEL, LocalModelMissing, check_local, models, open_local
from tasks_lib.providers.openai import OpenAI
from tests.local.processes import my_children

pytestmark = pytest.mark.anyio
IMAGE, AUDIO, TEXT = (Output.of(modality) for modality in (Modality.IMAGE, Modality.AUDIO, Modality.TEXT))
needs_a_voice = pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs the extra `speech`")


async def asked(output: Output, *, name: str, text: str) -> Reply:
    """What a local model answers through the protocol."""
    provider = Provider(name="local", protocol="local", base_url=LOCAL_BASE_URL)
    choice = ModelChoice(model=Model("local", name))
    exchange = OpenAI(provider, None).exchange([Message(role="user", text=text)], choice, output)
    async with (
        httpx.AsyncHTTPTransport() as http,
        open_local(OverHttpx(http), names=[name], at_most=1) as local,
    ):
        assert len(my_children()) == 1
        assert local.in_flight >= 1
        outcome = await have(exchange, local.transport)
    assert not my_children()
    assert isinstance(outcome, Reply), outcome
    assert outcome.media is not None
    return outcome


@needs_a_voice
async def test_r19_speech_without_a_key_starts_no_server(monkeypatch):
    """R19: a job that only speaks gets a recording though no language model is installed."""
    monkeypatch.setattr(models, "_ENGINE", "no_such_engine")
    reply = await asked(AUDIO, name="espeak", text="One row. One voice.")
    with Wave_read(BytesIO(reply.media.content)) as recording:
        assert recording.getnframes() > recording.getframerate()
    assert reply.media.mime_type == "audio/wav"


@pytest.mark.local_model
@pytest.mark.parametrize("file_type", ["png", "jpeg"])
async def test_r19_a_picture_without_a_key(file_type):
    """R19: a small model tells a scene, which becomes a PNG or JPEG that decodes, with its tokens."""
    output = Output.of(Modality.IMAGE, file_type=file_type)
    reply = await asked(output, name=PACKAGED_MODEL, text="A red boat on a lake, in the sun.")
    with Image.open(BytesIO(reply.media.content)) as picture:
        picture.load()
        assert (picture.format, picture.size) == (file_type.upper(), (512, 512))
    assert reply.media.mime_type == f"image/{file_type}"
    assert reply.usage is not None
    assert reply.usage.output_tokens > 50


@pytest.mark.parametrize(
    ("name", "output", "reason"),
    [
        ("espeak", TEXT, "only speaks, and the task's output is text"),
        ("espeak", IMAGE, "only speaks, and the task's output is image"),
        ("espeak", Output.of(Modality.AUDIO, file_type="mp3"), "makes wav only"),
        (PACKAGED_MODEL, AUDIO, "cannot speak; the local voice is local:espeak"),
    ],
)
def test_what_a_local_model_cannot_do_is_told_beforehand(name, output, reason):
    """With the model that could."""
    with pytest.raises(Mistake, match=reason):
        check_local(name, output)


@needs_a_voice
def test_a_voice_needs_no_model(monkeypatch):
    """Nothing but the voice is looked for; and of a model for pictures, the model is."""
    monkeypatch.setattr(models, "_ENGINE", "no_such_engine")
    check_local("espeak", AUDIO)
    check_local("espeak", Output.of(Modality.AUDIO, file_type="wav"))
    with pytest.raises(LocalModelMissing):
        check_local(PACKAGED_MODEL, IMAGE)
