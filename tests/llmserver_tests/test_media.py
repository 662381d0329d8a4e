"""The server's pictures and recordings."""

import json
import wave
from io import BytesIO

import pytest
from PIL import Image

from tests.llmserver import media
from tests.llmserver.answers import Refused, asked, completion
from tests.llmserver.faults import Settings


def picture_request(**fields):
    return json.dumps({"model": "m", "prompt": "row_id: 1"} | fields).encode()


@pytest.mark.parametrize("make", [media.png, media.jpeg])
def test_pictures_decode(make):
    """Each is of one colour, that of its row."""
    pictures = [Image.open(BytesIO(make(row_id))).convert("RGB") for row_id in ("1", "1", "2")]
    colours = [picture.getcolors() for picture in pictures]
    assert [len(each) for each in colours] == [1, 1, 1]
    assert colours[0] == colours[1] != colours[2]


def test_recordings_decode():
    """A quarter of a second, and not silent."""
    with wave.open(BytesIO(media.wav("1"))) as recording:
        assert recording.getnframes() == 2_000
        assert max(memoryview(recording.readframes(2_000)).cast("h")) > 9_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", b"{"),
        ("/v1/images/generations", b"[]"),
        ("/v1/images/generations", b'{"model":"m"}'),
        ("/v1/images/generations", picture_request(output_format="gif")),
        ("/v1/audio/speech", picture_request()),
        ("/v1/audio/speech", b'{"model":"m","input":"x"}'),
        ("/v1/audio/speech", b'{"model":"m","input":"x","voice":"a","response_format":"mp3"}'),
    ],
)
def test_what_a_provider_would_refuse_is_refused(path, body):
    """A body without what the endpoint needs, or one that asks for what is not made."""
    with pytest.raises(Refused):
        asked(body, path)


def test_a_spoiled_picture_is_no_picture():
    """What is wrong with the content is wrong with the bytes."""
    wants = asked(picture_request(), "/v1/images/generations")
    made = completion(Settings(), wants, "1", "e_badcontent", number=1, created=1)
    assert b"bm8gc3VjaCBmaWxl" in made.body
