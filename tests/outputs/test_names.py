"""Copies have names that any system takes."""

from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.outputs.names import safe_names


def test_names_are_made_safe() -> None:
    """No row's key leads out of the folder, hides a file, or is a device's name."""
    wanted = [
        "../../etc/passwd",
        "a/b\\c",
        "C:x",
        ".hidden",
        "-rf",
        "nul",
        "Aux.txt",
        "",
        " . ",
        "x\0y\ny",
        "é",
    ]
    assert safe_names((stem, "pdf") for stem in wanted) == [
        "_.._etc_passwd.pdf",
        "a_b_c.pdf",
        "C_x.pdf",
        "hidden.pdf",
        "_-rf.pdf",
        "_nul.pdf",
        "_Aux.txt.pdf",
        "_.pdf",
        "_-2.pdf",
        "x_y_y.pdf",
        "é.pdf",
    ]


def test_names_are_unique_on_any_system() -> None:
    """Names that differ in case alone are one to some systems; no number is taken twice."""
    wanted = ["a", "A", "a", "a-2", "a"]
    assert safe_names((stem, "csv") for stem in wanted) == [
        "a.csv",
        "A-2.csv",
        "a-3.csv",
        "a-2-2.csv",
        "a-4.csv",
    ]
    assert safe_names([("a", "csv"), ("a", "pdf")]) == ["a.csv", "a.pdf"]


@given(st.lists(st.text(max_size=300), max_size=8))
def test_whatever_the_keys_are(stems: list[str]) -> None:
    """Every name is one part of a path, short enough, and no other's."""
    names = safe_names((stem, "pdf") for stem in stems)
    assert len({name.casefold() for name in names}) == len(stems)
    for name in names:
        assert len(name.encode()) <= 255
        assert not {"/", "\\", "\0"} & set(name)
        assert name not in {".", ".."}
