"""Single runs, as the official SDK sees them."""

import asyncio
import contextlib

import httpx
import jsonschema_rs
import parallel
import pydantic
import pytest
from parallel import AsyncParallel

from tests.parallelserver_tests.asking import SCHEMA, SPEC, run_input


def test_a_run_from_its_creation_to_its_result(sdk, server, eventually):
    """A run is queued, then runs, and its result has the schema's content and a basis for each field."""
    waiting, running, client = sdk(queue_ms=600_000), sdk(never=1), sdk(queue_ms=20, lat=20)
    assert waiting.task_run.retrieve(waiting.task_run.create(**run_input(1)).run_id).status == "queued"
    under_way = running.task_run.create(**run_input(2)).run_id
    eventually(lambda: running.task_run.retrieve(under_way).status == "running")
    made = client.task_run.create(**run_input(7), task_spec=SPEC)
    assert (made.status, made.is_active, made.processor) == ("queued", True, "core")
    assert made.run_id.startswith("trun_")
    assert (made.metadata, made.error, made.task_group_id) == ({"row_key": "7"}, None, None)
    result = client.task_run.result(made.run_id)
    assert (result.run.status, result.run.is_active, result.output.type) == ("completed", False, "json")
    assert jsonschema_rs.is_valid(SCHEMA, result.output.content)
    assert result.output.content["row_id"] == "7"
    fields = [basis.field for basis in result.output.basis]
    assert fields == ["row_id", "label", "score", "names", "names.0"]
    assert all(basis.citations and basis.reasoning for basis in result.output.basis)
    assert {basis.confidence for basis in result.output.basis} <= {"high", "medium"}
    assert client.task_run.retrieve(made.run_id) == result.run


def test_the_same_input_gives_the_same_output(sdk):
    """An output follows from the input alone."""
    client = sdk()
    contents = [
        client.task_run.result(client.task_run.create(**run_input(row), task_spec=SPEC).run_id).output
        for row in (1, 1, 2)
    ]
    assert contents[0] == contents[1] != contents[2]


def test_text_and_automatic_outputs(sdk):
    """A text schema or a bare string gives text with one basis; no spec gives JSON and tells its schema."""
    client = sdk()

    def output(spec=None):
        told = {} if spec is None else {"task_spec": spec}
        run = client.task_run.create(input="row_id: 3", processor="base", **told)
        return client.task_run.result(run.run_id).output

    described = output({"output_schema": {"type": "text", "description": "The GDP"}})
    assert (described.type, described.content) == ("text", "row 3: The GDP")
    assert [basis.field for basis in described.basis] == ["output"]
    assert output({"output_schema": "The GDP"}) == described
    automatic = output({"output_schema": {"type": "auto"}})
    assert jsonschema_rs.is_valid(automatic.output_schema, automatic.content)
    assert output() == automatic


def test_the_input_is_kept(sdk):
    """GET input gives back what was asked, without the secrets of MCP servers."""
    client = sdk()
    server = {"type": "url", "url": "https://mcp.example.org/", "name": "tools", "headers": {"k": "secret"}}
    run = client.task_run.create(**run_input(1), task_spec=SPEC, mcp_servers=[server])
    kept = client.task_run.retrieve_input(run.run_id)
    assert (kept.input, kept.processor) == ({"row_id": "1", "country": "France"}, "core")
    assert kept.mcp_servers is not None
    assert (kept.mcp_servers[0].name, kept.mcp_servers[0].headers) == ("tools", None)
    calls = client.task_run.result(run.run_id).output.mcp_tool_calls
    assert [call.server_name for call in calls or ()] == ["tools"]


def test_execute_waits_and_parses(sdk, server):
    """The SDK's own create-and-wait gives the model that was asked for."""

    class Gdp(pydantic.BaseModel):
        model_config = {"extra": "forbid"}
        row_id: str
        gdp: str

    result = sdk(lat=100).task_run.execute(input="row_id: 5", processor="core", output=Gdp)
    assert result.output.parsed == Gdp(row_id="5", gdp="v-5")
    assert server.stats()["by_status"] == {"202": 1, "200": 1}


def test_execute_gets_no_408(sdk, server):
    """A caller that polls by itself is held as long as it likes; others get a 408."""
    at_once = {"timeout": 0}
    assert sdk(lat=100).task_run.execute(input="x", processor="core", extra_query=at_once)
    client = sdk(never=1)
    with pytest.raises(TimeoutError):
        client.task_run.execute(input="x", processor="core", timeout=1)
    assert "408" not in server.stats()["by_status"]
    run = client.task_run.create(input="x", processor="core")
    with pytest.raises(parallel.APIStatusError) as refused:
        client.task_run.result(run.run_id, api_timeout=0)
    assert refused.value.status_code == 408


def test_execute_breaks_on_a_408(sdk):
    """Where the SDK's helper is given a 408, it fails in a way of its own (parallel-web 1.3.7)."""
    client = sdk(lat=100, poll_helper=0)
    with pytest.raises(RuntimeError, match="generator didn't stop"):
        client.task_run.execute(input="x", processor="core", extra_query={"timeout": 0})


def test_a_result_that_is_waited_for(sdk, server):
    """A result holds the connection until the run has ended, and no second request is needed."""
    client = sdk(queue_ms=50, lat=100, result_ms=50)
    client.task_run.result(client.task_run.create(input="x", processor="core").run_id)
    stats = server.stats()
    assert (stats["requests"]["GET result"], stats["waiting_max"], stats["waiting"]) == (1, 1, 0)
    assert (stats["results_delivered"], stats["rows_read"]) == (1, 1)


@pytest.mark.parametrize(("fate", "status"), [("fail", "failed"), ("cancel", "cancelled")])
def test_a_run_without_a_result(sdk, eventually, fate, status):
    """The result of a run that failed or was cancelled is a 404, as that of an unknown one; the run tells."""
    client = sdk(**{fate: 1})
    run = client.task_run.create(input="x", processor="core")
    messages = []
    for run_id in (run.run_id, "trun_unknown"):
        with pytest.raises(parallel.NotFoundError) as refused:
            client.task_run.result(run_id)
        assert refused.value.body["type"] == "error"
        messages.append(refused.value.body["error"]["message"])
    assert messages[0] == messages[1]
    ended = client.task_run.retrieve(run.run_id)
    assert (ended.status, ended.is_active) == (status, False)
    assert (ended.error is not None) == (status == "failed")
    with pytest.raises(parallel.NotFoundError):
        client.task_run.retrieve("trun_unknown")


def test_action_required(sdk, eventually):
    """A run that needs an action is neither active nor ended, until it runs on."""
    client = sdk(action=1)
    stuck = client.task_run.create(input="x", processor="core").run_id
    eventually(lambda: client.task_run.retrieve(stuck).status == "action_required")
    assert not client.task_run.retrieve(stuck).is_active
    with pytest.raises(parallel.APIStatusError, match="408"):
        client.task_run.result(stuck, api_timeout=0)
    client = sdk(action=1, action_ms=20)
    assert client.task_run.result(client.task_run.create(input="y", processor="core").run_id)


def test_failures_of_weak_processors_only(sdk):
    """What fails, or is of low confidence, on a weak processor succeeds on a stronger one."""
    client = sdk(fail=1, low=1, weak="lite")
    weak = client.task_run.create(**run_input(1, processor="lite"))
    with pytest.raises(parallel.NotFoundError):
        client.task_run.result(weak.run_id)
    strong = client.task_run.create(**run_input(1))
    assert {basis.confidence for basis in client.task_run.result(strong.run_id).output.basis} != {"low"}
    low = sdk(low=1, weak="lite")
    run = low.task_run.create(**run_input(1, processor="lite"))
    assert {basis.confidence for basis in low.task_run.result(run.run_id).output.basis} == {"low"}


def test_the_first_runs_of_a_row_fail(sdk):
    """With fail_first a row's first runs fail, whatever their ids, and the next one succeeds."""
    client, statuses = sdk(fail_first=2), []
    for row in (1, 1, 1, 2):
        run_id = client.task_run.create(**run_input(row)).run_id
        with contextlib.suppress(parallel.NotFoundError):
            client.task_run.result(run_id)
        statuses.append(client.task_run.retrieve(run_id).status)
    assert statuses == ["failed", "failed", "completed", "failed"]


def test_previous_interactions(sdk):
    """A run may follow a run that is known, and no other."""
    client = sdk()
    first = client.task_run.create(input="x", processor="core")
    assert client.task_run.create(input="y", processor="core", previous_interaction_id=first.interaction_id)
    with pytest.raises(parallel.UnprocessableEntityError):
        client.task_run.create(input="y", processor="core", previous_interaction_id="trun_unknown")


def test_events_of_a_run(sdk):
    """A run's stream begins with its state, tells its whole trace, and ends with its state and output."""
    client = sdk(queue_ms=30, lat=60, comments=1, ping_ms=10)
    run = client.task_run.create(**run_input(1), enable_events=True)
    for _ in range(2):  # the second time it has ended, and the trace comes again
        events = list(client.task_run.events(run.run_id))
        kinds = [event.type for event in events]
        assert kinds[0] == kinds[-1] == "task_run.state"
        assert [kind for kind in kinds if "progress_msg" in kind] == [
            "task_run.progress_msg.exec_status",
            "task_run.progress_msg.plan",
            "task_run.progress_msg.result",
        ]
        assert "task_run.progress_stats" in kinds
        assert events[-1].run.status == "completed"
        assert events[-1].output.content == client.task_run.result(run.run_id).output.content
        assert events[-1].event_id is None


def test_events_are_told_where_they_are_asked_for(sdk):
    """Processors below pro tell no progress unless asked; pro and above do unless told not to."""
    client = sdk()

    def told(processor, **asked):
        run = client.task_run.create(input="x", processor=processor, **asked)
        client.task_run.result(run.run_id)
        return any("progress_msg" in event.type for event in client.task_run.events(run.run_id))

    assert [told("core"), told("core", enable_events=True)] == [False, True]
    assert [told("pro"), told("ultra8x-fast"), told("pro", enable_events=False)] == [True, True, False]


def test_events_of_a_failed_run(sdk):
    """The stream of a run that fails ends with its error, and without an output."""
    client = sdk(fail=1)
    run = client.task_run.create(input="x", processor="pro")
    last = list(client.task_run.events(run.run_id))[-1]
    assert (last.run.status, last.output) == ("failed", None)
    assert last.run.error.message == "Task execution failed"


def test_the_asynchronous_client(server):
    """The SDK's asynchronous client has fifty runs done at once."""

    async def work():
        async with AsyncParallel(
            api_key="k", base_url=server.base_url(lat=50), _strict_response_validation=True
        ) as client:
            runs = await asyncio.gather(*(client.task_run.create(**run_input(row)) for row in range(50)))
            results = await asyncio.gather(*(client.task_run.result(run.run_id) for run in runs))
            executed = await client.task_run.execute(input="x", processor="core")
            assert executed.run.status == "completed"
            return [result.run.metadata["row_key"] for result in results]

    assert asyncio.run(work()) == [str(row) for row in range(50)]
    stats = server.stats()
    assert (stats["runs_made"], stats["rows_read"], stats["inflight"]) == (51, 51, 0)
    assert stats["inflight_max"] > 1


def test_keys(sdk, server):
    """Without the key that is expected everything is a 401; each key knows its own runs alone."""
    run = sdk(key="right").task_run.create(input="x", processor="core")
    with pytest.raises(parallel.NotFoundError):
        sdk(key="wrong").task_run.retrieve(run.run_id)
    server.config(auth="right")
    assert sdk(key="right").task_run.retrieve(run.run_id)
    with pytest.raises(parallel.AuthenticationError) as refused:
        sdk(key="wrong").task_run.retrieve(run.run_id)
    assert refused.value.body["error"]["ref_id"]
    assert httpx.get(f"{server.url}/v1/tasks/runs/{run.run_id}").status_code == 401
