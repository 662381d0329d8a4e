"""The protocol by property: it takes whatever a server sends, and what it tells can be written down."""

from itertools import islice

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply
from tasks_lib.domain.task import Model
from tasks_lib.ledger.facts import as_json
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response
from tests.providers.webagent_rig import KEY, a_plan, cloud, self_hosted

OUTPUTS = (Output.of(Modality.TEXT), Output.of(Modality.JSON, {"enum": [1]}))
FIELDS = st.sampled_from(
    [
        *("id", "task_id", "task_run_id", "status", "result", "is_done", "is_successful", "history", "steps"),
        *("description", "actions", "name", "params", "success", "extracted_content", "error", "detail"),
        *("step_number", "action_number", "screenshot", "model", "provider", "loc", "msg", "further"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["success", "failure", "pending", "12", " ", "Not Found", KEY.reveal()]),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=25,
)
RUNS = st.fixed_dictionaries(
    {},
    optional={
        "id": LEAVES,
        "task_run_id": LEAVES,
        "is_done": LEAVES,
        "is_successful": LEAVES,
        "status": LEAVES,
        "result": ANYTHING,
        "history": ANYTHING,
        "steps": ANYTHING,
        "model": LEAVES,
        "description": LEAVES,
    },
)
DEEP = st.integers(1, 1_100).map(
    lambda levels: b'{"task_run_id":1,"is_done":true,"result":' + b"[" * levels + b"]" * levels + b"}"
)
BODIES = st.one_of(
    st.binary(max_size=100),
    ANYTHING.map(orjson.dumps),
    RUNS.map(orjson.dumps),
    st.lists(RUNS, max_size=3).map(orjson.dumps),
    DEEP,
)
RESPONSES = st.builds(
    Response,
    status=st.sampled_from([200, 200, 200, 200, 202, 302, 400, 401, 404, 422, 429, 500, 502, 503]),
    headers=st.sampled_from([{}, {"retry-after": "3"}, {"retry-after": "soon"}]),
    body=BODIES,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(RESPONSES, min_size=12, max_size=12),
    st.sampled_from(OUTPUTS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "12"]),
    st.booleans(),
)
def test_whatever_comes_is_a_reply_or_a_failure(responses, output, waited, lost, remote_id, is_cloud):
    """No bytes raise; pauses are sensible, ids are texts, the key unseen; what is told can be kept."""
    protocol = cloud() if is_cloud else self_hosted()
    plan = a_plan(output=output, model=Model("webagent", "7"), wait_for_completion=waited, marker=True)
    exchange = protocol.run(plan, plan.models[0], remote_id=remote_id, lost=lost)
    left = iter(responses)
    outcome: Reply | Failure | None = None
    try:
        step = next(exchange)
        while True:
            if isinstance(step, Request):
                response = next(left, None)
                if response is None:  # it would look at the run for ever
                    return
                step = exchange.send(response)
                continue
            if isinstance(step, Pause):
                assert 0 < step.seconds <= 3600
            else:
                assert isinstance(step, Accepted)
                assert step.remote_id.strip()
            step = next(exchange)
    except StopIteration as end:
        outcome = end.value
    assert isinstance(outcome, Reply | Failure)
    if isinstance(outcome, Failure):
        assert outcome.message
        assert len(outcome.message) < 1_000
        if is_cloud:
            assert KEY.reveal() not in f"{outcome.message}{outcome.text}"
    else:
        assert isinstance(judge(output, outcome), Answer | Failure)
    if outcome.remote is not None:
        assert outcome.remote.is_over
        for step in islice(outcome.remote.steps, 5):
            as_json([(action.params, action.further, action.error) for action in step.actions])
