"""What holds for all tests: nothing is left in the home of whoever runs them, and signals arrive."""

import os
import signal
from collections.abc import Iterator

import pytest

_USUALLY = {
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


def pytest_configure() -> None:
    """Signals are what they are in a terminal, here and in programs that tests start.

    Whoever runs the tests may have them ignored: nohup has SIGHUP so, a shell's background job SIGINT. A test
    that waits for one would wait for ever.
    """
    for number, usual in _USUALLY.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Limits of accounts are shared among the processes of these tests, and with nobody else's."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
