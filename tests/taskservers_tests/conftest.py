"""One client for all tests: it knows no proxy and waits for no answer longer than ten seconds."""

import httpx
import pytest


@pytest.fixture(scope="session")
def web():
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client
