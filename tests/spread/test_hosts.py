"""Workers on two hosts that are network namespaces: kills, a link that is pulled, a driver that is killed."""

from pathlib import Path

import pytest

from bench.crews import lacks
from bench.spread import spread
from tests.llmserver import running_server
from tests.llmserver.running import EVERYWHERE

LACKING = lacks("hand")
pytestmark = [
    pytest.mark.spread,
    pytest.mark.timeout(500),
    pytest.mark.skipif(LACKING is not None, reason=f"it needs {LACKING}"),
]

ROWS = 6_000
PER_SECOND = 100


def test_a_batch_on_two_hosts_loses_nothing(tmp_path: Path) -> None:
    """Workers and the driver are killed, a link is pulled: each row has one answer, no limit is passed."""
    with running_server(host=EVERYWHERE) as server:
        told = "\n".join(spread(server, runner="hand", rows=ROWS, per_second=PER_SECOND, keep=tmp_path))
        assert "exit code: 0" in told, told
        assert f"answered, each once: {ROWS}" in told
        assert "refused (429): 0" in told
        assert server.stats()["rows_received_never_ok"] == 0
        # what was under way at two kills, at the driver's and behind the link: a second's worth of calls each
        assert ROWS <= server.stats()["recv"] <= ROWS + 4 * 2 * PER_SECOND
