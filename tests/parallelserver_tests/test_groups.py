"""Task groups, as the official SDK sees them."""

import httpx
import parallel
import pytest
from parallel.types import ErrorEvent, TaskGroupStatusEvent, TaskRunEvent

from tests.parallelserver_tests.asking import SPEC, run_input


def filled(client, rows, **more):
    """A group with these rows in it, and what adding them told."""
    group = client.task_group.create(metadata={"batch": "b1"})
    inputs = [run_input(row) for row in rows]
    return group.task_group_id, client.task_group.add_runs(group.task_group_id, inputs=inputs, **more)


def ended(client, group_id):
    """The group when no run of it is active any more."""
    list(client.task_group.events(group_id))
    return client.task_group.retrieve(group_id)


def test_a_group_from_its_creation_to_its_results(sdk, server):
    """Runs keep the order of their inputs, the counts add up, and the snapshot holds inputs and outputs."""
    client = sdk(queue_ms=20, lat=20, sigma=1)
    group_id, added = filled(client, range(30), default_task_spec=SPEC)
    assert group_id.startswith("tgrp_")
    assert added.status.task_run_status_counts == {"queued": 30}
    assert (added.status.is_active, added.run_cursor, added.event_cursor) == (True, None, None)
    group = ended(client, group_id)
    assert (group.metadata, group.status.is_active) == ({"batch": "b1"}, False)
    assert group.status.task_run_status_counts == {"completed": 30}
    events = list(client.task_group.get_runs(group_id, include_input=True, include_output=True))
    assert [event.run.run_id for event in events] == added.run_ids
    assert [event.input.input["row_id"] for event in events] == [str(row) for row in range(30)]
    assert [event.output.content["row_id"] for event in events] == [str(row) for row in range(30)]
    assert {event.run.task_group_id for event in events} == {group_id}
    stats = server.stats()
    assert (stats["creating_posts"], stats["runs_made"], stats["largest_post"]) == (1, 30, 30)
    assert stats["rows_read"] == 30


def test_a_run_of_a_group_by_itself(sdk):
    """A run of a group is a run like any other, and is found under its own group alone."""
    client = sdk()
    group_id, added = filled(client, [1])
    result = client.task_run.result(added.run_ids[0])
    assert client.task_group.retrieve_run(added.run_ids[0], task_group_id=group_id) == result.run
    other = client.task_group.create().task_group_id
    with pytest.raises(parallel.NotFoundError):
        client.task_group.retrieve_run(added.run_ids[0], task_group_id=other)
    with pytest.raises(parallel.NotFoundError, match="TaskGroup not found"):
        client.task_group.retrieve("tgrp_unknown")


def test_inputs_and_outputs_only_when_asked_for(sdk):
    """Without include_input and include_output a snapshot tells states alone."""
    client = sdk()
    group_id, _ = filled(client, [1, 2])
    ended(client, group_id)
    assert {(e.input, e.output) for e in client.task_group.get_runs(group_id)} == {(None, None)}


def test_a_snapshot_waits_for_nothing(sdk):
    """Runs that are under way are in the snapshot as they are, unless only ended ones are shown."""
    client = sdk(never=1)
    group_id, _ = filled(client, [1, 2])
    assert {event.run.is_active for event in client.task_group.get_runs(group_id)} == {True}
    assert list(client.task_group.get_runs(group_id, status="completed")) == []
    assert list(sdk(ended_only=1).task_group.get_runs(group_id)) == []


def test_by_status(sdk, server):
    """The status filter lets through what has that status; failed runs carry their errors."""
    client = sdk(fail=0.3, cancel=0.2)
    group_id, _ = filled(client, range(40))
    counts = ended(client, group_id).status.task_run_status_counts
    assert counts.keys() == {"completed", "failed", "cancelled"}
    for status, number in counts.items():
        events = list(client.task_group.get_runs(group_id, status=status, include_output=True))
        assert len(events) == number
        assert {event.run.status for event in events} == {status}
        assert {event.output is not None for event in events} == {status == "completed"}
        assert {event.run.error is not None for event in events} == {status == "failed"}
    assert server.stats()["runs_by_status"] == counts


def test_the_default_spec_and_a_run_s_own(sdk):
    """A run's own task_spec goes before the group's default."""
    client = sdk()
    group_id = client.task_group.create().task_group_id
    inputs = [run_input(1), run_input(2, task_spec={"output_schema": "The GDP"})]
    added = client.task_group.add_runs(group_id, inputs=inputs, default_task_spec=SPEC)
    kinds = [client.task_run.result(run_id).output.type for run_id in added.run_ids]
    assert kinds == ["json", "text"]


def test_cursors_of_a_second_lot(sdk):
    """With the cursors of its answer, a second lot's runs and events are read without the first's."""
    client = sdk()
    group_id, first = filled(client, range(5))
    ended(client, group_id)
    second = client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(5, 9)])
    ended(client, group_id)
    runs = client.task_group.get_runs(group_id, last_event_id=second.run_cursor)
    assert [event.run.run_id for event in runs] == second.run_ids
    events = client.task_group.events(group_id, last_event_id=second.event_cursor)
    seen = {event.run.run_id for event in events if isinstance(event, TaskRunEvent)}
    assert seen == set(second.run_ids)
    assert not seen & set(first.run_ids)


def test_a_cached_status(sdk):
    """With refresh_status=false the answer tells what the group was when somebody last asked."""
    client = sdk()
    group_id, added = filled(client, range(3), refresh_status=False)
    assert (added.status.num_task_runs, len(added.run_ids)) == (0, 3)
    assert client.task_group.retrieve(group_id).status.num_task_runs == 3


def test_events_of_a_group(sdk):
    """The group's stream tells every run's end once, tells the status before and after, and then ends."""
    client = sdk(lat=30, sigma=1)
    group_id, added = filled(client, range(20))
    events = list(client.task_group.events(group_id))
    assert isinstance(events[0], TaskGroupStatusEvent)
    assert isinstance(events[-1], TaskGroupStatusEvent)
    assert not events[-1].status.is_active
    ends = [event for event in events if isinstance(event, TaskRunEvent)]
    assert sorted(event.run.run_id for event in ends) == sorted(added.run_ids)
    assert [event.event_id for event in ends] == [str(number) for number in range(1, 21)]


def test_a_group_is_done_when_none_is_active(sdk, server):
    """However its runs leave off, a group tells it once; one that needs an action keeps no stream open."""
    client = sdk(fail=0.25, cancel=0.25, action=0.25, lat=5)
    group_id, added = filled(client, range(40))
    ends = [event.run for event in client.task_group.events(group_id) if isinstance(event, TaskRunEvent)]
    assert sorted(run.run_id for run in ends) == sorted(added.run_ids)
    assert {run.status for run in ends} == {"completed", "failed", "cancelled", "action_required"}
    status = client.task_group.retrieve(group_id).status
    assert not status.is_active
    assert server.stats()["inflight"] == status.task_run_status_counts["action_required"]


def test_a_stream_that_outlives_its_time(sdk):
    """A group's stream ends after its timeout though runs are active, with comments until then."""
    client = sdk(never=1, ping_ms=20)
    group_id, _ = filled(client, [1])
    (only,) = client.task_group.events(group_id, api_timeout=0.1)
    assert only.status.is_active


@pytest.mark.parametrize("how", ["reset", "close", "end"])
def test_a_snapshot_that_is_cut_is_resumed(sdk, server, how):
    """A stream that breaks off is read to its end from the last event's id on, each run once."""
    client = sdk(sse_cut=1, sse_cut_after=4, sse_cut_how=how, comments=1)
    group_id, added = filled(client, range(10))
    seen, last, streams = [], "", 0
    while len(seen) < 10:
        streams += 1
        try:
            for event in client.task_group.get_runs(group_id, last_event_id=last):
                seen.append(event.run.run_id)
                last = event.event_id
        except (httpx.RemoteProtocolError, httpx.ReadError):
            assert how != "end"
    assert (seen, streams) == (added.run_ids, 3)
    stats = server.stats()
    assert (stats["streams_cut"], stats["streams_now"]) == (2, 0)
    assert stats["by_outcome"]["sse_cut"] == 2


def test_an_error_event(sdk):
    """An error may come in the midst of a stream, and the stream goes on."""
    client = sdk(sse_error=1)
    group_id, _ = filled(client, range(3))
    kinds = [type(event) for event in client.task_group.get_runs(group_id)]
    assert kinds == [TaskRunEvent, ErrorEvent, TaskRunEvent, TaskRunEvent]


def test_an_event_that_was_never_sent(sdk):
    """A cursor that nobody gave out is refused."""
    client = sdk()
    group_id, _ = filled(client, range(3))
    with pytest.raises(parallel.UnprocessableEntityError):
        client.task_group.get_runs(group_id, last_event_id="4")


def test_the_older_paths(sdk, server):
    """Groups and events answer under /v1beta as well."""
    group_id, added = filled(sdk(), [1, 2])
    with httpx.Client(base_url=f"{server.url}/v1beta/tasks", headers={"x-api-key": "k"}) as client:
        assert client.get(f"/groups/{group_id}").json()["status"]["num_task_runs"] == 2
        assert client.get(f"/groups/{group_id}/runs").text.count("data: ") == 2
        assert client.get(f"/groups/{group_id}/events").text.startswith("event: task_group_status\n")
        assert client.get(f"/groups/{group_id}/runs/{added.run_ids[0]}").status_code == 200
        assert client.get(f"/runs/{added.run_ids[0]}/events").text.startswith("event: task_run.state\n")
        assert client.post("/groups", json={}).json()["taskgroup_id"] != group_id
        assert client.post(f"/groups/{group_id}/runs", json={"inputs": [run_input(3)]}).status_code == 200
        assert client.post("/runs", json=run_input(4)).status_code == 404


def test_three_thousand_rows(sdk, server):
    """Three POSTs of a thousand rows are three thousand runs, read in order in one stream."""
    client = sdk(fail=0.02)
    group_id = client.task_group.create().task_group_id
    for begin in range(0, 3_000, 1_000):
        inputs = [run_input(row) for row in range(begin, begin + 1_000)]
        client.task_group.add_runs(group_id, inputs=inputs, default_task_spec=SPEC, refresh_status=False)
    ended(client, group_id)
    keys = [event.run.metadata["row_key"] for event in client.task_group.get_runs(group_id)]
    assert keys == [str(row) for row in range(3_000)]
    stats = server.stats()
    assert (stats["rows_started"]["rows"], stats["rows_started"]["excess"]) == (3_000, 0)
    assert 20 < stats["runs_by_status"]["failed"] < 120
    assert stats["creating_posts"] == 3
