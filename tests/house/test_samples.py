"""The committed samples are what data/README.md says of them."""

import csv
from collections import Counter
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


def rows_of(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


BIOGRAPHIES = rows_of("biographies.csv")


@pytest.mark.parametrize("row", BIOGRAPHIES, ids=lambda row: row["id"])
def test_a_biography_says_what_its_labels_say(row):
    """Person, place and year stand in the text word for word, and the year only once."""
    assert row["person"] in row["biography"]
    assert row["place"] in row["biography"]
    assert row["biography"].count(row["year"]) == 1
    assert len(row["year"]) == 4
    assert all(value == value.strip() != "" for value in row.values())


def test_biographies_are_many_and_different():
    """240 people, no one twice, 30 of each field, and ids in order."""
    assert [row["id"] for row in BIOGRAPHIES] == [f"b{number:03}" for number in range(1, 241)]
    assert len({row["person"] for row in BIOGRAPHIES}) == 240
    assert set(Counter(row["field"] for row in BIOGRAPHIES).values()) == {30}


def test_the_first_rows_hold_every_field():
    """The fields take turns, so that a run of the first rows has something of each to report."""
    fields = [row["field"] for row in BIOGRAPHIES]
    assert len(set(fields[:8])) == 8
    assert fields == fields[:8] * 30


@pytest.mark.parametrize("row", rows_of("births.csv"), ids=lambda row: row["id"])
def test_a_text_of_births_tells_of_two_people(row):
    """Each names two people of one field, with place and year as their biographies have them."""
    told = [
        one
        for one in BIOGRAPHIES
        if f"{one['person']} was born in {one['place']} in {one['year']}" in row["text"]
        or f"{one['person']} in {one['place']} in {one['year']}" in row["text"]
    ]
    assert [one["field"] for one in told] == [row["field"]] * 2


def test_every_sample_is_described():
    """data/README.md has a line for each sample, with the number of its rows."""
    described = (SAMPLES.parent / "README.md").read_text(encoding="utf-8")
    for path in sorted(SAMPLES.iterdir()):
        assert f"| `samples/{path.name}` | {len(rows_of(path.name))} |" in described
