"""A picture from a model that only writes: it is asked for a scene under a schema, which is then drawn."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.local.drawing import COLOURS, FILE_TYPES, KINDS, LONGEST_CAPTION, Scene, scene_of
from tasks_lib.providers.protocol import Request, Response

_COMPLETIONS: Final = "/chat/completions"
_GENERATIONS: Final = "/images/generations"
_MOST_TOKENS: Final = 700  # a scene of six shapes needs 250, with white space that a small model likes 400
_TEMPERATURE: Final = 0.7  # at 0 a small model copies the examples
_SCENE: Final[JsonValue] = {
    "type": "object",
    "properties": {
        "caption": {"type": "string", "minLength": 1, "maxLength": LONGEST_CAPTION},
        "background": {"enum": list(COLOURS)},
        "shapes": {
            "type": "array",
            "minItems": 3,
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"enum": list(KINDS)},
                    "colour": {"enum": list(COLOURS)},
                    # not numbers of any length, which a small model goes on writing
                    "x": {"enum": list(range(10, 100, 10))},
                    "y": {"enum": list(range(10, 80, 10))},
                    "size": {"enum": [10, 20, 30, 40, 60]},
                },
                "required": ["kind", "colour", "x", "y", "size"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["caption", "background", "shapes"],
    "additionalProperties": False,
}
_SYSTEM: Final = """\
Draw what the text is about with a few simple shapes, and give it a short caption. x and y are the middle \
of a shape, size is its width, all in percent.

A lighthouse by the sea at night.
{"caption": "A lighthouse by the sea", "background": "black", "shapes": [\
{"kind": "rectangle", "colour": "blue", "x": 50, "y": 70, "size": 60}, \
{"kind": "square", "colour": "white", "x": 50, "y": 50, "size": 20}, \
{"kind": "triangle", "colour": "red", "x": 50, "y": 30, "size": 20}, \
{"kind": "star", "colour": "yellow", "x": 80, "y": 20, "size": 10}]}

The farmer has a tree and a field in the sun.
{"caption": "A tree in the sun", "background": "white", "shapes": [\
{"kind": "rectangle", "colour": "green", "x": 50, "y": 70, "size": 60}, \
{"kind": "line", "colour": "brown", "x": 30, "y": 60, "size": 20}, \
{"kind": "circle", "colour": "green", "x": 30, "y": 40, "size": 30}, \
{"kind": "circle", "colour": "yellow", "x": 80, "y": 20, "size": 20}]}"""


def is_for_a_picture(request: Request) -> bool:
    """Whether a request is one for a picture, and not for words."""
    return request.url.endswith(_GENERATIONS)


def is_for_a_changed_picture(request: Request) -> bool:
    """Whether a request brings pictures that are to be changed."""
    return request.url.endswith("/images/edits")


def file_type_asked(request: Request) -> str:
    """The form that the picture is to have.

    Raises:
        ValueError: it is none that is drawn.
    """
    told = _body(request).get("output_format", "png")
    if told not in FILE_TYPES:
        raise ValueError(f"a picture is drawn as one of {', '.join(FILE_TYPES)}, not {told!r}")
    return str(told)


def for_a_scene(request: Request) -> Request:
    """The request for words that asks for a picture's scene; the same one for the same picture."""
    asked = _body(request)
    prompt = asked.get("prompt")
    body = {
        "model": asked.get("model"),
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": str(prompt)}],
        "temperature": asked.get("temperature", _TEMPERATURE),
        "seed": asked.get("seed", int(fraction("scene", str(prompt)) * 2**31)),
        "max_tokens": _MOST_TOKENS,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "scene", "schema": _SCENE, "strict": True},
        },
    }
    url = request.url.removesuffix(_GENERATIONS) + _COMPLETIONS
    return replace(request, url=url, body=orjson.dumps(body))


def scene_told(response: Response) -> tuple[Scene, Mapping[str, Any]]:
    """The scene in the answer to `for_a_scene`, and the tokens that it took.

    Raises:
        ValueError: there is none in it.
    """
    body = orjson.loads(response.body)
    try:
        scene = scene_of(orjson.loads(body["choices"][0]["message"]["content"]))
        usage = body.get("usage", {})
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the local model told no scene: {error}") from None
    return scene, usage


def _body(request: Request) -> Mapping[str, Any]:
    body = orjson.loads(request.body)
    return body if isinstance(body, dict) else {}
