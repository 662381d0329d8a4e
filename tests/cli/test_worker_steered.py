"""A run whose workers are elsewhere: what can be done to it, and to them, from terminals."""

import json
import signal
import subprocess
import time
from collections import Counter

import duckdb
import pytest

from tests.cli.conftest import KEY, Project
from tests.cli.test_live import looked
from tests.cli.test_worker import begun_by_hand, ended, hired

# three programs on a busy machine
pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(240)]

ROWS = 4_000


def begun(
    project: Project, *, lat: float = 50, number: int = 2
) -> "tuple[subprocess.Popen[str], list[subprocess.Popen[str]]]":
    """A run that would take half a minute, and its workers, once some rows were answered."""
    project.rows(ROWS)
    project.provider(lat=lat)
    driver, tickets = begun_by_hand(project, workers=number)
    workers = [hired(project, ticket) for ticket in sorted(tickets.glob("*.ticket"))]
    deadline = time.monotonic() + 90
    while project.server.stats()["ok"] < 60 and time.monotonic() < deadline:
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.02)
    return driver, workers


def answered(project: Project) -> Counter[str]:
    with duckdb.connect(str(project.ledger), read_only=True) as ledger:
        rows = ledger.execute("select row_key from task_runs where status = 'completed'").fetchall()
    return Counter(key for (key,) in rows)


def test_workers_elsewhere_are_steered_with_their_batch(project: Project) -> None:
    """Paused, resumed, given other limits and ended from another process; they obey."""
    driver, workers = begun(project)
    assert project.here("pause").code == 0
    while (look := looked(project))["under_way"] and look["accounts"][0]["in_flight"]:  # type: ignore[index]
        assert driver.poll() is None
    calls = project.server.stats()["recv"]
    assert looked(project)["phase"] == "paused"
    assert project.server.stats()["recv"] == calls
    assert project.here("limits", "--set", "in_flight=3").code == 0
    assert project.here("resume").code == 0
    while project.server.stats()["recv"] <= calls + 30:
        assert driver.poll() is None
    look = looked(project)
    assert look["accounts"][0]["most_in_flight"] == 3  # type: ignore[index]
    assert project.server.stats()["inflight"] <= 3
    assert project.here("cancel").code == 0
    (code, out, err), *others = ended(driver, *workers)
    assert code == 130, err
    assert [code for code, *_ in others] == [0, 0], others
    told = json.loads(out)
    assert told["completed"] + told["cancelled"] == ROWS
    assert answered(project) == Counter(answered(project).keys())
    assert len(answered(project)) == told["completed"] == project.server.stats()["billed"]
    assert KEY not in out + err + "".join(text for one in others for text in one[1:])


def test_twice_ctrl_c_drops_the_calls_of_workers_elsewhere(project: Project) -> None:
    """Calls that would last for a minute are dropped there, and all programs end."""
    driver, workers = begun(project)
    project.server.config(e_hang=1, hang_s=120)
    try:
        time.sleep(0.5)  # some calls hang now
        driver.send_signal(signal.SIGINT)
        time.sleep(0.5)
        driver.send_signal(signal.SIGINT)
        (code, out, err), *others = ended(driver, *workers)
    finally:
        project.server.config(clear=1)
    assert code == 130, err
    assert [code for code, *_ in others] == [0, 0], others
    assert set(answered(project).values()) == {1}
    assert project.server.stats()["inflight"] == 0
    assert json.loads(out)["completed"] == len(answered(project))


def test_twice_ctrl_c_at_a_worker_drops_its_calls(project: Project) -> None:
    """Calls that would last for minutes are dropped at once, and the batch hears of it."""
    driver, (one,) = begun(project, number=1)  # else the other might have all the calls that hang
    project.server.config(e_hang=1, hang_s=240)
    try:
        time.sleep(1)  # all that are under way hang now
        assert project.server.stats()["inflight"] > 4
        one.send_signal(signal.SIGINT)
        time.sleep(1)
        assert one.poll() is None, one.communicate()
        one.send_signal(signal.SIGINT)
        ((code, _, said),) = ended(one)
        assert (code, "Traceback" in said) == (130, False), said
        assert driver.poll() is None
        for _ in range(2):
            driver.send_signal(signal.SIGINT)
            time.sleep(0.5)
        ((code, out, err),) = ended(driver)
    finally:
        project.server.config(clear=1)
    assert code == 130, err
    told = json.loads(out)
    assert any("worker" in warning and "was " in warning for warning in told["warnings"])
    assert told["completed"] == len(answered(project))
    assert project.server.stats()["inflight"] == 0


def test_ctrl_c_at_a_worker_leaves_its_rows_to_others(project: Project) -> None:
    """The batch goes on with the other worker and a new one, and every row is answered once."""
    driver, (one, other) = begun(project, lat=5)
    one.send_signal(signal.SIGINT)
    _, _, said = ended(one)[0]
    tickets = project.folder / "tickets"
    deadline = time.monotonic() + 60
    while not list(tickets.glob("*-worker-3.ticket")):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    (code, out, err), (worked, *_) = ended(driver, other)
    assert (code, worked) == (0, 0), err
    assert json.loads(out)["completed"] == ROWS
    assert answered(project) == Counter({str(row): 1 for row in range(1, ROWS + 1)})
    assert "Traceback" not in said
