"""What tests of inputs share."""

from collections.abc import Iterator

import pytest

from tests.inputs.web import Web, running_web


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that batches are run on."""
    return "asyncio"


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server on loopback."""
    with running_web() as running:
        yield running
