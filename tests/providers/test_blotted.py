"""What of a provider's words may be shown."""

import pytest

from tasks_lib.domain.provider import Secret
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.parallel_errors import Errors
from tasks_lib.providers.protocol import Response

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize("before", range(SHOWN - len(KEY) - 1, SHOWN + 2))
def test_no_part_of_a_key_is_left_where_a_text_is_cut(before: int) -> None:
    """Wherever the cut falls, a key that is echoed there is gone whole."""
    body = (b"x" * before) + KEY.encode() + b"y" * SHOWN
    shown = Blotted([Secret("KEY", KEY)]).shown(Response(status=500, headers={}, body=body))
    assert len(shown) <= SHOWN
    assert not any(KEY[:length] in shown for length in range(4, len(KEY) + 1))


@pytest.mark.parametrize("before", range(SHOWN - len(KEY) - 14, SHOWN + 2))
def test_no_part_of_a_key_is_left_in_details(before: int) -> None:
    """The details of an error at Parallel are cut after the key is taken out of them, too."""
    detail = "x" * before + KEY + "y" * SHOWN
    body = ('{"type": "error", "error": {"message": "no", "detail": {"a": "' + detail + '"}}}').encode()
    failure = Errors(Secret("KEY", KEY)).of(Response(status=422, headers={}, body=body))
    assert failure.message.startswith("422 no")
    assert not any(KEY[:length] in failure.message for length in range(4, len(KEY) + 1))


def test_secrets_that_come_later_are_hidden_too() -> None:
    """A token that is had while a batch runs is as secret as the key that it began with."""
    secrets: list[Secret | None] = [None]
    blotted = Blotted(secrets)
    secrets.append(Secret("TOKEN", "t0ken-of-an-hour"))
    assert blotted.hidden("says t0ken-of-an-hour") == "says ***"


def test_nothing_is_said_as_nothing() -> None:
    """An empty body has a word for it."""
    assert Blotted([]).shown(Response(status=502, headers={}, body=b" \n")) == "nothing"
