"""Jobs at Parallel that are killed go on with the runs that they had begun."""

import pytest

from bench.parallel import parallel

pytestmark = pytest.mark.crash


def test_no_kill_begins_a_run_twice() -> None:
    """P10, P16, P19: under lost answers, 402s and cut streams: nothing missing, nothing paid for twice."""
    told = list(parallel(rows=400, kills=3))
    assert "beside another 0, after a good one 0" in told[0]
    assert told[1].startswith("3 kills over 400 rows")
