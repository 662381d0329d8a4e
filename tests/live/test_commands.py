"""What is typed in another terminal while a batch runs."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tasks_lib.cli import main
from tasks_lib.cli.top import picture, rates_between
from tasks_lib.ledger import open_ledger
from tasks_lib.live import AccountNow, Phase, Snapshot
from tests.live.held import ROOT, held
from tests.live.pretend import BATCH, Pretended


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("commands") / "ledger.duckdb"
    with held(path):
        yield path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    heard = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, heard.out, heard.err


def test_top_once_for_a_program(running: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One look is one object, with exact amounts and speeds measured between two looks."""
    code, out, err = said(capsys, "top", "--ledger", str(running), "--once", "--json", "--every", "0.1")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()
    look = json.loads(line)
    assert (look["batch_id"], look["phase"], look["rows"]) == (BATCH, "running", 1_000)
    assert Decimal(look["cost"]) % Decimal("0.000000000001") == 0
    assert look["accounts"][0]["closed_why"] == "the provider asked for it"
    assert look["rates"]["rows_per_second"] == 100.0
    assert look["groups"] == [{"name": "acme", "cost": "0.7"}, {"name": None, "cost": "0.1"}]


def test_top_once_for_a_reader(running: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal is, one look is printed, and nothing in it steers one."""
    code, out, err = said(capsys, "top", "--ledger", str(running), "--every", "0.1")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in (
        "reviews running",
        "of 1,000 rows",
        "7 of 8 (adaptive)",
        "closed for 2.5 s: the provider asked for it",
        "$1.50 of $5.00 for this batch, $0.5000 set aside",
        "2 invalid_output",
        "no [bold]JSON[/]",
        "acme $0.7000, (no group) $0.1000",
        "100/s rows",
    ):
        assert part in words, part
    assert "\x1b" not in out


def test_top_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal a look is drawn again and again until the batch ends, which is said."""
    path = tmp_path / "ledger.duckdb"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tasks_lib.cli", "top", "--ledger", str(path), "--every", "0.1"]
    with held(path) as child:
        watching = subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
        os.close(theirs)
        drawn = b""
        while drawn.count(b"running") < 3:
            drawn += os.read(ours, 65_536)
        assert child.stdin is not None
        child.stdin.close()
        try:
            while piece := os.read(ours, 65_536):
                drawn += piece
        except OSError:  # the other end is closed
            os.close(ours)
        assert watching.wait(timeout=30) == 0, drawn[-4_000:].decode(errors="replace")
    assert b"the batch has ended" in drawn


def test_pause_resume_cancel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what becomes of the batch, to a reader or a program."""
    path = tmp_path / "ledger.duckdb"
    with held(path):
        where = ("--ledger", str(path))
        code, out, _ = said(capsys, "pause", *where)
        assert (code, "reviews is paused at" in out) == (0, True)
        assert json.loads(said(capsys, "pause", *where, "--json")[1])["phase"] == "paused"
        assert "goes on from" in said(capsys, "resume", *where)[1]
        assert "takes up what is left" in said(capsys, "cancel", *where)[1]


def test_limits(running: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Limits are shown, changed by name with or without `limits.`, and lifted."""
    where = ("--ledger", str(running))
    assert json.loads(said(capsys, "limits", *where, "--json")[1]) == {"in_flight": 8, "max_cost": None}
    changed = said(
        capsys, "limits", *where, "--set", "limits.in_flight=32", "--set", "max_cost=7.50", "--json"
    )
    assert json.loads(changed[1]) == {"in_flight": 32, "max_cost": "7.50"}
    code, out, _ = said(capsys, "limits", *where, "--set", "max_cost=none")
    assert (code, out.split()[-4:]) == (0, ["in_flight", "32", "max_cost", "none"])


@pytest.mark.parametrize(
    ("change", "words"), [("in_flihgt=3", "not known"), ("in_flight", "NAME=VALUE"), ("=3", "NAME=VALUE")]
)
def test_a_limit_that_is_none(
    running: Path, change: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong name or form is one line that says so."""
    code, out, err = said(capsys, "limits", "--ledger", str(running), "--set", change)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize("command", ["top", "pause", "resume", "cancel", "limits"])
def test_nothing_runs(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no batch runs the message says so and how to see the last one."""
    path = tmp_path / "ledger.duckdb"
    with open_ledger(path):
        pass
    for ledger in (path, tmp_path / "none.duckdb"):
        code, out, err = said(capsys, command, "--ledger", str(ledger))
        assert (code, out) == (2, "")
        assert f"no batch is running on {ledger}; `rowmill status` shows" in err


def drawn(now: Snapshot, before: Snapshot | None = None) -> str:
    console = Console(file=StringIO(), width=200)
    with console.capture() as shown:
        console.print(picture(now, rates_between(before or now, now)))
    return shown.get()


def test_a_look_without_anything_known() -> None:
    """A batch that has only begun can be shown, and promises nothing."""
    text = drawn(Snapshot(batch_id=BATCH, job="reviews", phase=Phase.PREPARING, seconds=0.0, pid=7))
    assert "preparing" in text
    assert "left" not in text
    assert "speed" not in text


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_title(phase: Phase) -> None:
    """Each phase is told in words, with the reason of an end."""
    text = drawn(
        Snapshot(batch_id=BATCH, job="reviews", phase=phase, seconds=1.0, pid=7, reason="limit of $5 reached")
    )
    assert "(limit of $5 reached)" in text


@pytest.mark.parametrize("forever", [float("inf"), None])
def test_a_pause_without_end(forever: float | None) -> None:
    """An account that is closed until somebody opens it is closed for no number of seconds."""
    account = AccountNow(
        provider="openai", in_flight=0, most_in_flight=8, closed_for=forever, closed_why="paused"
    )
    now = replace(Pretended().snapshot(), accounts=(account,))
    assert "closed: paused" in drawn(now)


def test_what_a_queue_waits_for() -> None:
    """An account that is open tells what the first call waits for, what was found out, and who shares it."""
    account = AccountNow(
        provider="openai", in_flight=3, most_in_flight=24, waiting=9, adaptive=True, found_why="grew",
        waves=2, waits_for="requests_per_minute", waits_seconds=0.31, processes=2, in_flight_of_all=11,
        requests_per_minute=600.0,
    )  # fmt: skip
    words = " ".join(drawn(replace(Pretended().snapshot(), accounts=(account,))).split())
    assert "3 of 24 (grew), 11 in 2 processes 9 of 600" in words
    assert "open, waits for 0.3 s: requests_per_minute, 2 waves of 429" in words


def test_control_characters_are_shown() -> None:
    """Names and failures from data cannot steer a terminal."""
    now = replace(Pretended().snapshot(), job="re\x1b[2Jviews", last_failure="\x1b]0;title\x07")
    assert "\x1b[2J" not in drawn(now)
    assert "\x1b]0" not in drawn(now)
