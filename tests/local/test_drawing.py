"""Scenes become pictures: always the same, and of nothing but what a scene may hold."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks_lib.local import drawing
from tasks_lib.local.drawing import COLOURS, KINDS, DrawingMissing, Scene, check_drawing, drawn, scene_of

BOAT = {
    "background": "blue",
    "caption": "A boat",
    "shapes": [{"kind": "triangle", "colour": "white", "x": 50, "y": 40, "size": 30}],
}


def picture(scene, file_type="png"):
    return Image.open(BytesIO(drawn(scene_of(scene), file_type=file_type)))


def near(pixel, colour):
    wanted = tuple(int(COLOURS[colour][place : place + 2], 16) for place in (1, 3, 5))
    return all(abs(one - other) < 12 for one, other in zip(pixel[:3], wanted, strict=True))


@pytest.mark.parametrize("file_type", ["png", "jpeg", "webp"])
def test_r19_a_scene_is_drawn_as_the_file_that_is_asked_for(file_type):
    """R19: PNG and JPEG decode, have the size that was promised, and show the shape on its background."""
    with picture(BOAT, file_type) as image:
        assert (image.format, image.size) == (file_type.upper(), (512, 512))
        pixels = image.convert("RGB")
        assert near(pixels.getpixel((256, 220)), "white")
        assert near(pixels.getpixel((20, 20)), "blue")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_shape_shows(kind):
    """The middle of each shape has its colour, and a corner far away has not."""
    shape = {"kind": kind, "colour": "red", "x": 40, "y": 30, "size": 40}
    with picture({"background": "white", "shapes": [shape]}) as image:
        pixels = image.convert("RGB")
        assert near(pixels.getpixel((205, 154)), "red")
        assert near(pixels.getpixel((500, 20)), "white")


def test_the_same_scene_makes_the_same_bytes():
    """Nothing of clock, machine or chance is in a picture."""
    assert drawn(scene_of(BOAT)) == drawn(scene_of(BOAT))


def test_a_picture_says_that_it_is_drawn():
    """In its corner stands a word: the picture is not as plain there as without it."""
    with picture({"background": "white", "shapes": []}) as image:
        corner = image.convert("L").crop((440, 480, 512, 512))
        assert (min(corner.tobytes()) < 100, max(corner.tobytes()) > 240) == (True, True)


@pytest.mark.parametrize(
    "caption",
    ['#image("/etc/passwd")', "$x^$ ] [ } {", '"\\', "*_`~@<a>", "= Title\n- list", "日本語 é 🙂", "//", "#"],
)
def test_a_caption_is_a_text_and_never_a_program(caption):
    """What stands in it is drawn, whatever it would mean to the one who sets it."""
    assert drawn(scene_of({**BOAT, "caption": caption})).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"shapes": "none"},
        {"shapes": [3]},
        {"shapes": [{"kind": "dragon", "x": 1, "y": 1, "size": 1}]},
        {"shapes": [{"kind": "star", "colour": "#fff", "x": 1, "y": 1, "size": 1}]},
        {"shapes": [{"kind": "star", "x": "1", "y": 1, "size": 1}]},
        {"shapes": [{"kind": "star", "x": True, "y": 1, "size": 1}]},
        {"shapes": [{"kind": "star", "x": float("nan"), "y": 1, "size": 1}]},
        {"shapes": [{"kind": "star", "x": 1, "y": 1}]},
        {"background": "octarine", "shapes": []},
    ],
)
def test_what_is_no_scene_is_refused(value):
    """A value of another form is told, not drawn."""
    with pytest.raises(ValueError, match=r"\w"):
        scene_of(value)


def test_a_scene_keeps_within_its_bounds():
    """Eight shapes, a caption of eighty characters in one line, and nothing outside the picture."""
    shape = {"kind": "star", "colour": "red", "x": -5, "y": 1e9, "size": 0}
    scene = scene_of({"shapes": [shape] * 20, "caption": "a\n" * 200})
    assert (len(scene.shapes), len(scene.caption)) == (8, 80)
    assert "\n" not in scene.caption
    assert (scene.shapes[0].x, scene.shapes[0].y, scene.shapes[0].size) == (0, 100, 1)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(["star", "red", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["shapes", "kind", "colour", "x", "y", "size", "caption", "background"]), inner
        )
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_any_json_is_a_scene_or_is_refused(value):
    """No value raises anything else."""
    try:
        assert isinstance(scene_of(value), Scene)
    except ValueError as refused:
        assert str(refused)  # noqa: PT017  # whether it raises is the question


def test_what_is_missing_is_named(monkeypatch):
    """Without typst or Pillow the message says how to get both; with them nothing is said."""
    check_drawing()
    monkeypatch.setattr(drawing, "_NEEDED", ("typst", "no_such_package"))
    with pytest.raises(DrawingMissing, match=r"pip install 'rowmill\[files\]'"):
        check_drawing()
