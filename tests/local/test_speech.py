"""A voice speaks what it is given, in a process of its own that never outlives this one."""

import os
import signal
import sys
import wave
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import anyio
import pytest

from tasks_lib.local import speech
from tasks_lib.local.speech import Speaker, SpeakerGone, SpeechMissing, Unspeakable, local_speaker
from tests.local.processes import all_gone, children_of, my_children

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs the extra `speech`"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def speaker():
    async with local_speaker() as opened:
        yield opened


async def spoken(speaker: Speaker, text: str, *, voice: str = "en-us", speed: float = 1.0) -> wave.Wave_read:
    """The recording of a text, opened."""
    recording = await speaker.wav(text, voice=voice, speed=speed)
    assert isinstance(recording, bytes), recording
    return wave.open(BytesIO(recording))


def seconds(recording: wave.Wave_read) -> float:
    return recording.getnframes() / recording.getframerate()


def loudness(recording: wave.Wave_read) -> float:
    frames = memoryview(recording.readframes(recording.getnframes())).cast("h")
    return sum(abs(frame) for frame in frames) / len(frames)


async def test_r19_a_text_is_spoken(speaker):
    """R19: several sentences make one recording that decodes, is as long as speech, and is not silent."""
    with await spoken(speaker, "Ada Lovelace was born in London. She wrote a program. When? In 1843!") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 22_050)
        assert 3 < seconds(wav) < 10
        frames = memoryview(wav.readframes(wav.getnframes())).cast("h")
        assert max(frames) > 5_000


async def test_voices_go_by_language_and_by_name(speaker):
    """A language, its voice's own name and a variant are known, whatever their letters' case."""
    text = "97, 98, 99, 97"  # quatre-vingt-dix-sept takes longer to say
    names = ("en-us", "EN-US", "English (America)", "fr", "en-us+whisper")
    us, shouted, named, french, whispered = [await spoken(speaker, text, voice=name) for name in names]
    assert seconds(us) == pytest.approx(seconds(shouted), rel=0.02)  # its noise is never twice the same
    assert seconds(us) == pytest.approx(seconds(named), rel=0.02)
    assert seconds(french) > 1.1 * seconds(us)
    assert loudness(us) > 1.05 * loudness(whispered)


async def test_speed_makes_it_shorter(speaker):
    """At twice the speed a text takes about half as long."""
    text = "one two three four five six seven eight nine ten " * 3
    lengths = [seconds(await spoken(speaker, text, speed=speed)) for speed in (1, 2)]
    assert 1.5 < lengths[0] / lengths[1] < 2.5


@pytest.mark.parametrize("voice", ["klingon-c", "", "../../etc/passwd", "gmw/en", "en+../../x", "en+nobody"])
async def test_an_unknown_voice_is_refused(speaker, voice):
    """And told; a name never becomes a path, and the next text is spoken as if nothing had been."""
    refused = await speaker.wav("Hello", voice=voice, speed=1)
    assert isinstance(refused, Unspeakable)
    assert "there is no v" in refused.reason
    assert isinstance(await speaker.wav("Hello", voice="en", speed=1), bytes)


@pytest.mark.parametrize(
    "text", ["naïve café", "日本語", "line\nline\r\n", 'a"\\b', "nul\0nul", "🙂 \ud800", "<b>x</b>"]
)
async def test_any_text_is_spoken(speaker, text):
    """Whatever stands in it, there is a recording of it and of the text after it."""
    for each in (text, "Hello"):
        assert isinstance(await speaker.wav(each, voice="en-us", speed=1), bytes)


async def test_each_gets_the_answer_to_what_it_asked(speaker):
    """Many who ask at once, and one who gives up, are each given what is as long as their own text."""
    texts = ["two words " * (number + 1) for number in range(6)]
    alone = [seconds(await spoken(speaker, text)) for text in texts]
    together = [0.0] * len(texts)

    async def ask(number: int) -> None:
        together[number] = seconds(await spoken(speaker, texts[number]))

    async with anyio.create_task_group() as tasks:
        for number in reversed(range(len(texts))):
            tasks.start_soon(ask, number)
        with anyio.move_on_after(0.001):  # while its answer is made, or while it waits
            await spoken(speaker, "never mind " * 50)
    assert together == pytest.approx(alone, rel=0.05)
    assert alone == sorted(alone)


async def test_a_voice_that_died_is_told(speaker):
    """Who asks then, and after that, is told, and waits for nothing."""
    (pid,) = my_children()
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(SpeakerGone):
            await speaker.wav("Hello", voice="en", speed=1)


async def test_a_voice_is_gone_with_its_block():
    """Nothing runs on when the block is left, however it is left."""
    pids: set[int] = set()

    async def fail() -> None:
        async with local_speaker():
            pids.update(my_children())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(pids) == 1
    assert await all_gone(pids, within=5)


async def test_a_voice_ends_when_its_parent_is_killed():
    """Kill -9 of the process that opened it is enough."""
    script = str(Path(__file__).with_name("speaking_parent.py"))
    async with await anyio.open_process([sys.executable, script], cwd=ROOT, stderr=None) as parent:
        assert parent.stdout is not None
        assert await parent.stdout.receive() == b"ready\n"
        voices = children_of(parent.pid)
        assert len(voices) == 1
        parent.kill()
        await parent.wait()
        assert await all_gone(voices)


def test_what_is_missing_is_named(monkeypatch):
    """Without the package the message says which extra brings it."""
    speech.check_speech()
    monkeypatch.setattr(speech, "_LOADER", "no_such_package")
    with pytest.raises(SpeechMissing, match=r"pip install 'rowmill\[speech\]'"):
        speech.check_speech()


async def test_nothing_of_the_library_is_loaded_here(speaker):
    """The voice's library is GPL, and stays in its own process."""
    assert isinstance(await speaker.wav("Hello", voice="en", speed=1), bytes)
    assert "espeakng_loader" not in sys.modules
    loaded = await anyio.Path("/proc/self/maps").read_text()
    assert "espeak" not in loaded
