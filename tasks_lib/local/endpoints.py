"""OpenAI's endpoints for pictures and speech, as this machine answers them."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.local.drawing import Scene
from tasks_lib.local.speech import DEFAULT_VOICE, SpeakerGone, Unspeakable, Voice
from tasks_lib.providers.openai_speech import DEFAULT_VOICE as UNASKED_VOICE
from tasks_lib.providers.protocol import Request, Response

LONGEST_SPEECH: Final = 20_000  # characters, some twenty minutes: 55 MB
_JSON: Final = {"content-type": "application/json"}
_WAV: Final = {"content-type": "audio/wav"}


def is_for_speech(request: Request) -> bool:
    """Whether a request is one for a recording."""
    return request.url.endswith("/audio/speech")


async def spoken(request: Request, speaker: Voice | None) -> Response | Failure:
    """The recording that is asked for, or what is wrong with the request, as OpenAI would say it."""
    asked = orjson.loads(request.body)
    text, speed = asked.get("input"), asked.get("speed", 1.0)
    if speaker is None:
        return refused(404, "no voice is open: its model is local:espeak", code="model_not_found")
    if asked.get("response_format", "wav") != "wav":
        return refused(400, f"the local voice makes WAV only, and not {asked['response_format']!r}")
    if not isinstance(text, str) or not text.strip():
        return refused(400, "there is no text to speak")
    if len(text) > LONGEST_SPEECH:
        return refused(400, f"the text has {len(text)} characters, and {LONGEST_SPEECH} are spoken at most")
    if not isinstance(speed, int | float) or isinstance(speed, bool) or not 0.25 <= speed <= 4:
        return refused(400, f"speed is a number from 0.25 to 4, not {speed!r}")
    voice = str(asked.get("voice", UNASKED_VOICE))
    if voice == UNASKED_VOICE:  # which is sent where a task names none
        voice = DEFAULT_VOICE
    try:
        recording = await speaker.wav(text, voice=voice, speed=float(speed))
    except SpeakerGone:
        return Failure(kind=FailureKind.CONNECTION, message="the local voice has ended")
    if isinstance(recording, Unspeakable):
        return refused(400, recording.reason)
    return Response(status=200, headers=_WAV, body=recording)


def picture_made(picture: bytes, *, scene: Scene, file_type: str, usage: Mapping[str, Any]) -> Response:
    """The answer with a picture and the tokens that its scene took."""
    told: dict[str, Any] = {
        "data": [{"b64_json": b64encode(picture).decode(), "revised_prompt": scene.caption}],
        "output_format": file_type,
    }
    if usage:
        told["usage"] = {
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
        }
    return Response(status=200, headers=_JSON, body=orjson.dumps(told))


def refused(status: int, reason: str, *, code: str | None = None) -> Response:
    """An error's answer."""
    error = {"error": {"message": reason, "type": "invalid_request_error", "code": code}}
    return Response(status=status, headers=_JSON, body=orjson.dumps(error))
