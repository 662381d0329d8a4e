"""Small scenes as pictures: a background, some shapes, a caption, and the word that says that it is drawn.

The same scene always makes the same bytes. A scene is JSON:

    {"background": "blue", "caption": "A boat", "shapes":
        [{"kind": "triangle", "colour": "white", "x": 50, "y": 40, "size": 30}]}

x and y are the middle of a shape, in percent from the left and from the top; size is its width, in percent.
The caption stands on a strip of its own over the lowest tenth.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Final

import orjson

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.mistake import Mistake

COLOURS: Final = {
    "black": "#1d1f24",
    "blue": "#2f6fb7",
    "brown": "#7a5236",
    "green": "#4b9a54",
    "grey": "#8b939c",
    "orange": "#e88b2d",
    "pink": "#e79ab5",
    "purple": "#7d5ba6",
    "red": "#c9413b",
    "white": "#fbfaf5",
    "yellow": "#f2cf4a",
}
KINDS: Final = ("circle", "ellipse", "square", "rectangle", "triangle", "star", "line")
MOST_SHAPES: Final = 8
LONGEST_CAPTION: Final = 80  # characters
FILE_TYPES: Final = ("png", "jpeg", "webp")

_NEEDED: Final = ("typst", "PIL")
_SIDE: Final = 512  # pixels
_QUALITY: Final = 90  # of JPEG and WebP, where 100 is the most
_SOURCE: Final = """
#let scene = json(bytes(sys.inputs.scene))
#let side = SIDE * 1pt
#set page(width: side, height: side, margin: 0pt, fill: rgb(scene.background))
#set text(size: 17pt, fill: rgb(scene.ink))
#let star(width) = polygon(..range(10).map(n => {
  let reach = if calc.even(n) { width / 2 } else { width / 5 }
  (width / 2 + reach * calc.sin(n * 36deg), width / 2 - reach * calc.cos(n * 36deg))
}))
#for shape in scene.shapes {
  let width = shape.size / 100 * side
  let is-flat = shape.kind in ("ellipse", "rectangle")
  let height = if is-flat { width / 2 } else if shape.kind == "line" { 6pt } else { width }
  let x = shape.x / 100 * side - width / 2
  let y = shape.y / 100 * side - height / 2
  set polygon(fill: rgb(shape.colour))
  place(top + left, dx: x, dy: y,
    if shape.kind in ("circle", "ellipse") { ellipse(width: width, height: height, fill: rgb(shape.colour)) }
    else if shape.kind == "triangle" { polygon((0pt, height), (width / 2, 0pt), (width, height)) }
    else if shape.kind == "star" { star(width) }
    else { rect(width: width, height: height, fill: rgb(shape.colour)) })
}
#place(bottom, box(width: side, height: 56pt, fill: rgb(scene.paper), inset: (x: 16pt),
  align(horizon, grid(columns: (1fr, 60pt), scene.caption,
    align(right, text(size: 13pt, style: "italic", "drawn"))))))
""".replace("SIDE", str(_SIDE))  # data comes in as input and never stands in the source


class DrawingMissing(Mistake):
    """What draws is not on this machine; the message says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape; x, y and size in percent of the picture's side."""

    kind: str
    colour: str
    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn, in this order, one shape over the other."""

    background: str
    shapes: tuple[Shape, ...]
    caption: str


def check_drawing() -> None:
    """Refuse where typst or Pillow is missing.

    Raises:
        DrawingMissing: with the way to get them.
    """
    if any(find_spec(package) is None for package in _NEEDED):
        raise DrawingMissing(
            "a local model's pictures are drawn by typst and Pillow: pip install 'rowmill[files]'"
        )


def scene_of(value: JsonValue) -> Scene:
    """The scene that a JSON value describes; what lies outside the picture is brought back to its edge.

    Raises:
        ValueError: it describes none.
    """
    shapes = value.get("shapes") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(shapes, list):
        raise ValueError("a scene is an object with shapes")  # noqa: TRY004  # it is a value that is wrong
    caption = value.get("caption", "")
    return Scene(
        background=_colour(value.get("background", "white")),
        shapes=tuple(_shape(shape) for shape in shapes[:MOST_SHAPES]),
        caption=" ".join(str(caption).split())[:LONGEST_CAPTION] if isinstance(caption, str) else "",
    )


def drawn(scene: Scene, *, file_type: str = "png") -> bytes:
    """The picture of a scene, 512 pixels wide and high, as one of FILE_TYPES."""
    import typst  # noqa: PLC0415  # an optional package, and a large one

    told = {
        "background": COLOURS[scene.background],
        "ink": COLOURS["black"],
        "paper": COLOURS["white"],
        "caption": scene.caption,
        "shapes": [{**asdict(shape), "colour": COLOURS[shape.colour]} for shape in scene.shapes],
    }
    png: bytes = typst.compile(
        _SOURCE.encode(),
        format="png",
        ppi=72,
        ignore_system_fonts=True,  # or the same scene would look otherwise elsewhere
        sys_inputs={"scene": orjson.dumps(told).decode()},
    )
    return png if file_type == "png" else _converted(png, file_type)


def _converted(png: bytes, file_type: str) -> bytes:
    from PIL import Image  # noqa: PLC0415  # as typst

    made = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        picture.convert("RGB").save(made, format=file_type.upper(), quality=_QUALITY)
    return made.getvalue()


def _shape(value: JsonValue) -> Shape:
    if not isinstance(value, Mapping):
        raise ValueError("a shape is an object")  # noqa: TRY004  # as above
    kind = value.get("kind")
    if kind not in KINDS:
        raise ValueError(f"a shape is one of {', '.join(KINDS)}, not {kind!r}")
    return Shape(
        kind=str(kind),
        colour=_colour(value.get("colour", "black")),
        x=_percent(value, "x", least=0),
        y=_percent(value, "y", least=0),
        size=_percent(value, "size", least=1),
    )


def _colour(value: JsonValue) -> str:
    if not isinstance(value, str) or value not in COLOURS:
        raise ValueError(f"a colour is one of {', '.join(COLOURS)}, not {value!r}")
    return value


def _percent(shape: Mapping[str, JsonValue], name: str, *, least: float) -> float:
    value = shape.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:  # noqa: PLR0124  # not a number
        raise ValueError(f"{name} is a number of percent, not {value!r}")
    return float(min(100.0, max(least, value)))
