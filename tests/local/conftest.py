"""The model of these tests, and what they see of its processes."""

from importlib.util import find_spec

import pytest

from tasks_lib.local import LocalModel, local_model


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what runs in production; child processes want its event loop


@pytest.fixture
def model() -> LocalModel:
    """The packaged model; without the engine a test is skipped, without the weights it fails."""
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install xllamacpp")
    return local_model()
