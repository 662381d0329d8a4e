"""Every point of the task-run APIs has a test, or a reason why it has none."""

from tests.house.points import OPEN, PAGE, POINTS, page, proofs


def test_every_point_is_proven() -> None:
    """A point without a test is named as open, with the reason; and no point is both."""
    found = proofs()
    assert [point for point in POINTS if point not in found and point not in OPEN] == []
    assert [point for point in OPEN if point in found] == []


def test_no_test_names_a_point_that_there_is_not() -> None:
    """A misspelt point would prove nothing."""
    assert [point for point in proofs() if point[0] in "PRW" and point not in POINTS] == []


def test_the_page_is_fresh() -> None:
    """docs/points.md is what `python -m tests.house.points` writes."""
    assert PAGE.read_text("utf-8") == page()
