"""The errors that the user can set right."""

import pytest

from tasks_lib.domain.mistake import Mistake


def test_a_mistake_is_its_message():
    """What it was raised with is what the user reads."""
    with pytest.raises(Mistake, match=r"^jobs.yaml:3: no such column$"):
        raise Mistake("jobs.yaml:3: no such column")
