"""Speech out of espeak-ng, in a process of its own: that library is GPL-3, and is never loaded into ours.

Each line of standard input is a JSON object: `text`, `voice` (a language such as en-us or de, or a voice's
name, with +VARIANT behind it perhaps) and `speed` (1 is the usual). The answer is a line of JSON on standard
output, `{"size": N}` with N bytes of WAV behind it, or `{"error": "..."}`. The first line, `{"ready": true}`,
says that the voices are there. It ends with its standard input, which is what the death of the parent looks
like from here. Complaints go to standard error.

This file imports nothing of the package, so that a child starts quickly and from any folder.
"""

import ctypes
import io
import json
import os
import signal
import sys
import wave
from pathlib import Path
from typing import Any, BinaryIO, Final

RETRIEVAL: Final = 1  # espeak_AUDIO_OUTPUT: samples go to a callback, synchronously with 2
SYNCHRONOUS: Final = 2
DO_NOT_EXIT: Final = 0x8000  # espeak_Initialize: an error is returned
UTF8: Final = 1
RATE: Final = 1  # espeak_PARAMETER
WORDS_A_MINUTE: Final = 175  # at speed 1
SLOWEST, FASTEST = 80, 450  # words a minute that espeak-ng knows

SAMPLES = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Refused(ValueError):
    """A request that cannot be done, with the reason."""


class VoiceEntry(ctypes.Structure):
    """What espeak-ng lists of a voice (espeak_VOICE)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),  # of each its rank as a byte and its text, then a zero
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class Espeak:
    """The library, ready to speak."""

    def __init__(self) -> None:
        # Here and not above: the package is an optional one.
        import espeakng_loader  # noqa: PLC0415

        data = espeakng_loader.get_data_path()
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._hertz = self._library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), DO_NOT_EXIT)
        if self._hertz <= 0:
            sys.exit(f"espeak-ng cannot read {data}")
        self._voices = self._listed()
        self._variants = {path.name for path in Path(data, "voices", "!v").iterdir()}
        self._heard = bytearray()
        self._callback = SAMPLES(self._hear)  # held, since the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def wav(self, text: str, *, voice: str, speed: float) -> bytes:
        """A recording of the text: one channel of 16 bits."""
        self._choose(voice)
        words = min(FASTEST, max(SLOWEST, round(WORDS_A_MINUTE * speed)))
        self._library.espeak_SetParameter(RATE, words, 0)
        self._heard.clear()
        spoken = text.replace("\0", " ").encode("utf-8", "replace")
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._heard:
            raise Refused("there is nothing in the text that could be spoken")
        made = io.BytesIO()
        with wave.open(made, "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(2)
            recording.setframerate(self._hertz)
            recording.writeframes(self._heard)
        return made.getvalue()

    def _choose(self, voice: str) -> None:
        """Take a voice that is listed; a name never becomes a path."""
        name, plus, variant = voice.partition("+")
        found = self._voices.get(name.strip().lower())
        if found is None:
            some = ", ".join(name for name in ("en-us", "en-gb", "de", "fr", "es") if name in self._voices)
            raise Refused(f"there is no voice {voice!r}: a voice is a language such as {some}, or a name")
        if plus and variant not in self._variants:
            raise Refused(f"there is no variant {variant!r} of a voice: some are f3, m3, whisper")
        self._library.espeak_SetVoiceByName(f"{found}{plus}{variant}".encode())

    def _listed(self) -> dict[str, str]:
        """Identifiers of the voices by name and by language, in small letters; of a language's, the first."""
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(VoiceEntry))
        entries, ranked, number = self._library.espeak_ListVoices(None), {}, 0
        while entries[number]:
            entry = entries[number].contents
            identifier, place = entry.identifier.decode(), 0
            ranked[entry.name.decode().lower()] = (0, identifier)
            while rank := entry.languages[place][0]:
                language = ctypes.string_at(ctypes.addressof(entry.languages.contents) + place + 1)
                known = ranked.get(language.decode().lower())
                if known is None or rank < known[0]:
                    ranked[language.decode().lower()] = (rank, identifier)
                place += len(language) + 2
            number += 1
        return {name: identifier for name, (_, identifier) in ranked.items()}

    def _hear(self, samples: Any, count: int, _events: object) -> int:  # noqa: ANN401  # a ctypes pointer
        if samples and count > 0:
            self._heard += ctypes.string_at(samples, count * 2)
        return 0  # go on


def main() -> None:
    """Answer until standard input ends."""
    answers = _only_for_answers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # both reach the whole process group, and the parent may
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # want to end in order
    espeak = Espeak()
    _say(answers, {"ready": True})
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        try:
            wav = espeak.wav(asked["text"], voice=asked["voice"], speed=asked["speed"])
        except Refused as refused:
            _say(answers, {"error": str(refused)})
        else:
            _say(answers, {"size": len(wav)}, wav)
    os._exit(0)  # not sys.exit: there is nothing to put in order


def _only_for_answers() -> BinaryIO:
    """Standard output for ourselves; whatever else prints there, native code too, goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _say(answers: BinaryIO, told: dict[str, object], content: bytes = b"") -> None:
    answers.write(json.dumps(told).encode() + b"\n" + content)
    answers.flush()


if __name__ == "__main__":
    main()
