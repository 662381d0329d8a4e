"""One server for a module, fresh for each test, and the official SDK as its client."""

import time

import pytest
from parallel import Parallel

from tests.parallelserver import running_server


@pytest.fixture(scope="module")
def running():
    with running_server() as server:
        yield server


@pytest.fixture
def server(running):
    running.config(clear=1)
    running.reset()
    return running


@pytest.fixture(scope="session")
def connections():
    """An SDK client whose connections the others use: to make them anew takes longer than a test."""
    with Parallel(api_key="k") as client:
        yield client


@pytest.fixture
def sdk(server, connections):
    """Makes clients that hold every answer strictly against the SDK's own models, unless told otherwise."""

    def client(*, key="k", tries=1, strict=True, **settings):
        return connections.copy(
            api_key=key,
            base_url=server.base_url(**settings),
            max_retries=tries - 1,
            _extra_kwargs={"_strict_response_validation": strict},
        )

    return client


@pytest.fixture
def eventually():
    """Fail unless it comes true within ten seconds."""

    def wait(true):
        end = time.monotonic() + 10
        while not true():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.005)

    return wait
