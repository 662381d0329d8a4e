"""Labels of rows, and what of them a provider is told."""

from dataclasses import replace

import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.labels import LONGEST_LABEL, LONGEST_METADATA, Carried, Labels
from tasks_lib.domain.row import Row
from tasks_lib.domain.template import Template

ROW = Row(number=7, key="order-7", values={"customer": "acme", "arm": 2, "empty": "", "person": "u-1"})


def template(text: str) -> Template:
    return Template.parse(text)


def test_a_group_from_columns() -> None:
    """R31: a segment is spelled from the row's columns."""
    labels = Labels(reporting_group=template("{{customer}}/exp-{{arm}}"))
    assert labels.of(ROW).reporting_group == "acme/exp-2"


def test_an_empty_label_is_none() -> None:
    """R09, 6.5: an empty group is no group."""
    empty = template("{{empty}}")
    labelled = Labels(reporting_group=empty, reference=empty, context_id=empty).of(ROW)
    assert (labelled.reporting_group, labelled.reference, labelled.context_id) == (None, None, None)
    assert labelled.problem is None


def test_a_row_is_called_by_its_key() -> None:
    """R17, R49: without a reference of its own a run is called as its row is, if that is short enough."""
    assert Labels().of(ROW).reference == "order-7"
    long = Row(number=1, key="k" * (LONGEST_LABEL + 1), values={})
    assert Labels().of(long).reference is None
    assert Labels().of(long).problem is None


@pytest.mark.parametrize("name", ["reporting_group", "reference", "context_id", "user"])
def test_a_label_that_is_too_long(name: str) -> None:
    """R09, R17, R50: 64 characters are allowed; the row with more of them is not asked."""
    fits = Labels(**{name: Template.constant("x" * LONGEST_LABEL)})
    too_long = Labels(**{name: Template.constant("x" * (LONGEST_LABEL + 1))})
    assert fits.of(ROW).problem is None
    problem = too_long.of(ROW).problem
    assert problem is not None
    assert problem.kind is FailureKind.BAD_ROW
    assert problem.message.startswith(f"{name} has 65 characters, 64 are allowed")


def test_metadata_that_is_too_long() -> None:
    """Values of metadata have at most 512 characters."""
    problem = Labels(metadata={"note": Template.constant("x" * (LONGEST_METADATA + 1))}).of(ROW).problem
    assert problem is not None
    assert problem.message == "metadata note has 513 characters, 512 are allowed"


def test_nothing_is_carried_unasked() -> None:
    """A provider learns nothing of groups, references and people unless the job says so."""
    labels = Labels(
        reporting_group=template("{{customer}}"), user=template("{{person}}"), metadata={"a": template("b")}
    )
    assert labels.of(ROW).carried is None


def test_what_is_carried_is_chosen() -> None:
    """Each label is told by its own name, and only those that were chosen; empty ones are left out."""
    labels = Labels(
        reporting_group=template("{{customer}}"),
        context_id=template("{{empty}}"),
        user=template("{{person}}"),
        metadata={"dataset": template("reviews")},
        carry=frozenset({"user", "metadata", "reporting_group", "reference", "context_id"}),
    )
    assert labels.of(ROW).carried == Carried(
        user="u-1", metadata={"dataset": "reviews", "reporting_group": "acme", "reference": "order-7"}
    )


def test_labels_that_are_given_are_found_once() -> None:
    """Templates of labels by their names, and of other labels after a change."""
    group, person = template("{{customer}}"), template("{{person}}")
    labels = Labels(user=person, reporting_group=group, metadata={"a": group})
    assert labels.named == {"reporting_group": group, "user": person}
    assert replace(labels, user=None).named == {"reporting_group": group}


def test_the_columns_that_labels_read() -> None:
    """A source is checked for every column that a label reads, that of the user, too."""
    labels = Labels(reporting_group=template("{{customer}}-{{arm}}"), user=template("{{person}}"))
    assert labels.columns == ("customer", "arm", "person")
