"""When a request has the same name as the one before."""

from dataclasses import replace

from tasks_lib.domain.idempotency import idempotency_key
from tests.domain.pieces import BIG, SMALL, failed, plan


def test_the_same_request_has_the_same_key_in_the_next_process():
    """Another task run id, as after a kill, changes nothing; another row does."""
    first = plan(number=1)
    again = replace(first, task_run_id="another")
    assert idempotency_key(first, [], position=0) == idempotency_key(again, [], position=0)
    assert idempotency_key(first, [], position=0) != idempotency_key(plan(number=2), [], position=0)


def test_a_try_after_a_lost_answer_has_the_same_key():
    """A timeout, a lost connection or a 5xx may have been billed; the provider sees that it is the same."""
    asked = plan()
    key = idempotency_key(asked, [], position=0)
    for kind in ("timeout", "connection", "broken_reply", "server_error", "rate_limited"):
        assert idempotency_key(asked, [failed(kind)], position=0) == key


def test_what_is_to_be_answered_anew_has_another_key():
    """A rejected answer, another model, and a run that came to its end before."""
    asked = plan(BIG, SMALL)
    keys = {
        idempotency_key(asked, [], position=0),
        idempotency_key(asked, [failed("invalid_output")], position=0),
        idempotency_key(asked, [failed("invalid_output")] * 2, position=0),
        idempotency_key(asked, [failed("invalid_output")], position=1),
        idempotency_key(replace(asked, times_ended=1), [], position=0),
    }
    assert len(keys) == 5
