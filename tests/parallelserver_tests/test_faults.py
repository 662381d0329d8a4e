"""Misbehaviour on demand, and how the official SDK takes it."""

import contextlib
import json

import parallel
import pytest

from tests.parallelserver_tests.asking import run_input


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("c429", parallel.RateLimitError),
        ("c500", parallel.InternalServerError),
        ("c503", parallel.InternalServerError),
        ("c402", parallel.APIStatusError),
        ("c_html", parallel.InternalServerError),
        ("c_early", parallel.APIConnectionError),
    ],
)
def test_creates_that_make_nothing(sdk, server, setting, error):
    """These faults come before anything is made, each as the SDK's own exception."""
    client = sdk(**{setting: 1})
    with pytest.raises(error):
        client.task_run.create(**run_input(1))
    with pytest.raises(error):
        client.task_group.create()
    stats = server.stats()
    assert (stats["runs_made"], stats["groups"], stats["by_outcome"]) == (0, 0, {setting: 2})


def test_a_create_whose_answer_is_lost(sdk, server):
    """The run is made and the connection cut: the SDK asks again by itself, and the row is started twice."""
    client = sdk(c_lost=0.4, tries=2)
    for row in range(6):
        try:
            client.task_run.create(**run_input(row))
        except parallel.APIConnectionError:
            assert server.started()[str(row)] == 2
    stats = server.stats()
    lost = stats["by_outcome"]["c_lost"]
    assert stats["rows_started"]["rows"] == 6
    assert stats["rows_started"]["total"] == stats["posts"] == stats["runs_made"]
    assert stats["rows_started"]["excess"] == stats["resent"] == stats["posts"] - 6 > 0
    assert stats["runs_never_announced"] == lost
    assert stats["runs_beside_another"] + stats["runs_after_success"] == stats["resent"]


def test_lost_groups_of_runs(sdk, server):
    """A group's POST whose answer is lost has filled the group all the same."""
    group_id = sdk().task_group.create().task_group_id
    with pytest.raises(parallel.APIConnectionError):
        sdk(c_lost=1).task_group.add_runs(group_id, inputs=[run_input(row) for row in range(5)])
    assert sdk().task_group.retrieve(group_id).status.num_task_runs == 5
    assert server.stats()["runs_never_announced"] == 5


def test_creates_that_answer_half_or_late(sdk, server):
    """Half the JSON is Python's own error in the SDK, and a late answer a timeout; the runs are made."""
    with pytest.raises(json.JSONDecodeError):
        sdk(c_trunc=1).task_run.create(**run_input(1))
    with pytest.raises(parallel.APITimeoutError):
        sdk(c_slow=1, slow_ms=500).task_run.create(**run_input(2), timeout=0.1)
    assert server.started() == {"1": 1, "2": 1}
    assert server.stats()["runs_never_announced"] == 2


def test_the_sdk_s_retries_of_creates(sdk, server):
    """After a 503 with its Retry-After the SDK asks again, and says how often it has."""
    client = sdk(c_first=2, c_first_status=503, ra_mode="ms", ra=0.02, tries=3)
    assert client.task_run.create(**run_input(1)).run_id
    stats = server.stats()
    assert (stats["posts"], stats["resent"], stats["runs_made"]) == (3, 2, 1)
    assert stats["by_status"] == {"503": 2, "202": 1}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, parallel.AuthenticationError),
        (402, parallel.APIStatusError),
        (422, parallel.UnprocessableEntityError),
    ],
)
def test_what_the_sdk_does_not_repeat(sdk, server, status, error):
    """A 401, a 402 and a 422 end the SDK's trying."""
    with pytest.raises(error):
        sdk(c_first=1, c_first_status=status, tries=3).task_run.create(**run_input(1))
    assert server.stats()["posts"] == 1


@pytest.mark.parametrize("mode", ["s", "ms", "both", "date", "frac", "bad", "none"])
def test_how_a_retry_after_is_said(sdk, mode):
    """A 429 says when to come back in the way that was asked for, or not at all."""
    with pytest.raises(parallel.RateLimitError) as refused:
        sdk(c429=1, ra_mode=mode, ra=2).task_run.create(**run_input(1))
    headers = refused.value.response.headers
    assert ("retry-after" in headers) == (mode not in {"none", "ms"})
    assert ("retry-after-ms" in headers) == (mode in {"ms", "both"})


def test_no_credit_for_a_while(sdk, server):
    """A key's first creating POSTs, or its first seconds, are a 402, and then all is well."""
    client = sdk(broke_n=2)
    for row in (1, 2):
        with pytest.raises(parallel.APIStatusError, match="402"):
            client.task_run.create(**run_input(row))
    assert client.task_run.create(**run_input(1))
    client, refused = sdk(key="another", broke_s=0.1), 0
    while True:
        try:
            client.task_run.create(**run_input(3))
        except parallel.APIStatusError:
            refused += 1
            continue
        break
    assert refused
    assert server.stats()["by_outcome"]["broke"] == 2 + refused


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("r429", parallel.RateLimitError),
        ("r500", parallel.InternalServerError),
        ("r503", parallel.InternalServerError),
        ("r_html", parallel.InternalServerError),
        ("r_cut", parallel.APIConnectionError),
        ("r_trunc", json.JSONDecodeError),
    ],
)
def test_reads_that_fail(sdk, server, setting, error):
    """Every GET may fail in each of these ways, and the run is none the worse."""
    good, bad = sdk(), sdk(**{setting: 1})
    run = good.task_run.create(**run_input(1))
    group_id = good.task_group.create().task_group_id
    for read in (bad.task_run.retrieve, bad.task_run.retrieve_input, bad.task_run.result):
        with pytest.raises(error):
            read(run.run_id)
    with pytest.raises(error):
        bad.task_group.retrieve(group_id)
    if setting != "r_trunc":  # a stream that begins is cut, and not halved
        with pytest.raises(error):
            bad.task_run.events(run.run_id)
        with pytest.raises(error):
            bad.task_group.get_runs(group_id)
    assert good.task_run.result(run.run_id).run.status == "completed"
    stats = server.stats()
    assert (stats["results_delivered"], stats["rows_read"]) == (1, 1)
    assert stats["by_outcome"][setting] >= 4


def test_the_sdk_s_retries_of_reads(sdk, server):
    """What fails now and then is read in the end."""
    client = sdk(r503=0.3, r429=0.3, ra_mode="ms", ra=0.001, tries=30)
    runs = [client.task_run.create(**run_input(row)) for row in range(10)]
    assert all(client.task_run.result(run.run_id).output for run in runs)
    stats = server.stats()
    assert stats["requests"]["GET result"] > 10
    assert (stats["rows_read"], stats["resent"]) == (10, 0)


def test_slow_reads(sdk):
    """A slow answer is a timeout to whoever does not wait."""
    client = sdk(r_slow=1, slow_ms=300)
    run = client.task_run.create(**run_input(1))
    with pytest.raises(parallel.APITimeoutError):
        client.task_run.result(run.run_id, timeout=0.1)
    assert client.task_run.result(run.run_id)


def test_a_client_that_leaves(sdk, server, eventually):
    """Who gives up waiting for a result is noticed, and nothing of it counts as read."""
    client = sdk(never=1)
    run = client.task_run.create(**run_input(1))
    with pytest.raises(parallel.APITimeoutError):
        client.task_run.result(run.run_id, timeout=0.1)
    eventually(lambda: server.stats()["waiting"] == 0)
    stats = server.stats()
    assert (stats["client_aborts"], stats["results_delivered"], stats["inflight"]) == (1, 0, 1)


def test_misfortunes_of_some(sdk, server):
    """Shares can be kept to some rows, and to their first draws."""
    client = sdk(only="^bad", first=1, fail=1, c503=1, r500=1)
    for row in ("good", "bad"):
        for _ in range(3):
            with contextlib.suppress(parallel.InternalServerError):
                run = client.task_run.create(**run_input(row))
                with contextlib.suppress(parallel.InternalServerError):
                    client.task_run.retrieve(run.run_id)
    assert [(run["key"], run["status"]) for run in server.runs()] == [
        ("good", "completed"),
        ("good", "completed"),
        ("good", "completed"),
        ("bad", "failed"),
        ("bad", "completed"),
    ]
    assert server.stats()["by_outcome"] == {"ok": 9, "c503": 1, "r500": 1}
    with pytest.raises(ValueError, match="regular expression"):
        server.config(only="(")


def test_draws_are_the_same_every_time(sdk, server):
    """What befalls a row follows from the seed, the row and its attempt, not from the order of requests."""

    def befallen(rows):
        server.reset()
        client = sdk(fail=0.3, c500=0.3, lat=5, sigma=1)
        for row in rows:
            try:
                run_id = client.task_run.create(**run_input(row)).run_id
                client.task_run.result(run_id)
            except (parallel.InternalServerError, parallel.NotFoundError):
                pass
        return {run["key"]: run["status"] for run in server.runs()}

    once = befallen(range(20))
    assert once == befallen(reversed(range(20)))
    assert set(once.values()) == {"completed", "failed"}
    assert 0 < len(once) < 20
