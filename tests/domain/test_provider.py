"""A key shows itself to nobody."""

import copy
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from tasks_lib.domain.provider import Provider, Secret

VALUE = "sk-very-secret"
KEY = Secret("ACME_API_KEY", VALUE)


@dataclass(frozen=True)
class Holder:
    key: Secret
    provider: Provider


@pytest.mark.parametrize(
    "shown",
    [
        repr(KEY),
        str(KEY),
        f"{KEY}",
        f"{KEY!r} {KEY!s} {KEY!a}",
        "%s %r" % (KEY, KEY),  # noqa: UP031  # the old way of writing must not show it either
        repr([KEY]),
        repr({"key": KEY}),
        repr(Holder(KEY, Provider(name="acme", protocol="openai", base_url="http://x", key="ACME_API_KEY"))),
    ],
)
def test_a_key_is_shown_by_its_name(shown):
    """However it is written, the variable's name stands for the value."""
    assert VALUE not in shown
    assert "ACME_API_KEY" in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_never_pickled(protocol):
    """It goes neither into a file nor to another process, alone or inside something."""
    for thing in (KEY, {"key": KEY}):
        with pytest.raises(TypeError, match=r"Secret\(ACME_API_KEY\)"):
            pickle.dumps(thing, protocol=protocol)


def test_a_key_is_not_copied():
    """Copies are made the way pickles are."""
    for way in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="written down"):
            way(KEY)


def test_a_key_has_no_open_fields():
    """There is no dictionary of attributes to print, and asdict tells nothing."""
    assert not hasattr(KEY, "__dict__")
    with pytest.raises(TypeError, match="written down"):
        asdict(Holder(KEY, Provider(name="acme", protocol="openai", base_url="http://x")))


def test_an_error_that_involves_a_key_does_not_tell_it():
    """A format that does not fit raises without the value."""
    with pytest.raises(TypeError) as error:
        format(KEY, ">30")
    assert VALUE not in "".join(traceback.format_exception(error.value))


def test_a_key_is_given_to_who_asks_by_name():
    """One way leads to the value."""
    assert KEY.reveal() == VALUE


def test_a_key_is_blotted_out_of_a_text():
    """Wherever it stands; and an empty key blots out nothing."""
    assert KEY.hidden_in(f"{VALUE}: invalid key {VALUE}") == "***: invalid key ***"
    assert Secret("EMPTY", "").hidden_in("text") == "text"
