"""Stories happen in virtual time: a clock that jumps to the next thing to happen."""

import pytest
from trio.testing import MockClock


@pytest.fixture
def anyio_backend():
    return "trio", {"clock": MockClock(autojump_threshold=0)}
