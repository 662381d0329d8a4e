import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import duckdb
import pytest

from tests.cli.conftest import KEY, ROOT, Ended, Project


def summary(done: Ended) -> dict[str, object]:
    """The one object on standard output."""
    told = json.loads(done.out)
    assert isinstance(told, dict)
    return told


def counts(told: dict[str, object]) -> tuple[object, ...]:
    return tuple(told[name] for name in ("rows", "completed", "failed", "skipped", "cancelled"))


def test_a_run_and_a_run_again(project: Project) -> None:
    """A run answers every row and writes the output; run again it makes no call and says so."""
    first = project.rowmill("run", project.job)
    assert first.err.startswith("reviews: checking")
    assert "\x1b" not in first.err + first.out, "nobody watches"
    assert (first.code, project.server.stats()["recv"]) == (0, 20), first.err
    assert "20 = 20 completed + 0 failed + 0 skipped + 0 cancelled" in first.out
    assert "data/out/reviews.csv" in first.out
    with project.output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(1, 21)]
    assert {row["sentiment"] for row in rows} <= {"positive", "negative"}
    again = project.here("run", project.job)
    assert (again.code, project.server.stats()["recv"]) == (0, 20)
    assert "Nothing to do: all 20 rows were answered before; no call was made." in again.out


def test_json_is_one_object(project: Project) -> None:
    """With --json standard output is one object, and all else is on standard error."""
    done = project.rowmill("run", project.job, "--json")
    told = summary(done)
    stats = project.server.stats()
    assert counts(told) == (20, 20, 0, 0, 0)
    assert (told["calls"], told["input_tokens"], told["output_tokens"]) == (
        20,
        stats["tok_in"],
        stats["tok_out"],
    )
    assert float(str(told["cost"])) == pytest.approx((stats["tok_in"] + 2 * stats["tok_out"]) / 1e6)
    assert "completed" in done.err


def test_quiet_is_quiet(project: Project) -> None:
    """With --quiet a run that went well says nothing, and one that did not says why."""
    done = project.here("run", project.job, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    project.provider(e400=1)
    done = project.here("run", project.job, "--quiet", "--force")
    assert (done.code, done.out) == (1, "")
    assert "20 failed" in done.err


def test_failed_rows(project: Project) -> None:
    """Rows that fail are exit code 1, are told by kind with an example, and can be asked again."""
    project.provider(fail_first=9, fail_status=400)
    done = project.here("run", project.job, "--limit", "5", "--json")
    assert (done.code, counts(summary(done))) == (1, (5, 0, 5, 0, 0))
    assert "5 rejected" in done.err
    assert "--limit 5 --retry-failed" in done.err
    project.provider()
    done = project.here("run", project.job, "--retry-failed", "--json")
    assert (done.code, counts(summary(done))) == (0, (20, 5, 0, 15, 0))


def test_flags_win_over_the_file(project: Project) -> None:
    """Input, output, ledger, reporting group and any key can be given on the command line."""
    project.write("other.csv", "id,customer,review\n1,a,good\n2,b,bad\n")
    done = project.here(
        "run", project.job, "--input", "other.csv", "--output", "there.csv", "--ledger", "own.duckdb",
        "--reporting-group", "all of them", "--set", "limits.in_flight=1", "--set", "source.key=customer",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (project.folder / "there.csv").is_file()
    with duckdb.connect(project.folder / "own.duckdb", read_only=True) as ledger:
        runs = ledger.execute("select row_key, reporting_group from task_runs order by 1").fetchall()
    assert runs == [("a", "all of them"), ("b", "all of them")]
    assert project.server.stats()["inflight_max"] == 1


def test_force_asks_again(project: Project) -> None:
    """With --force rows are asked that were answered before."""
    project.here("run", project.job)
    done = project.here("run", project.job, "--force", "--limit", "3", "--json")
    assert counts(summary(done)) == (3, 3, 0, 0, 0)


def test_a_key_is_never_told(project: Project) -> None:
    """R01: the key is in no output, in no file and in no ledger, even when the provider refuses it."""
    project.provider(auth="another")
    done = project.here("run", project.job)
    assert done.code == 4
    assert KEY not in done.out + done.err
    for file in project.folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_a_refusal_is_exit_code_4(project: Project) -> None:
    """A provider that does not let us in ends the batch: few calls, exit code 4, and how to go on."""
    project.provider(e401=1)
    done = project.here("run", project.job, "--json")
    told = summary(done)
    assert (done.code, told["outcome"]) == (4, "refused")
    assert told["cancelled"] != 0
    assert "resume with: rowmill run" in done.err
    assert project.server.stats()["recv"] <= 8


def test_a_money_limit_is_exit_code_3(project: Project) -> None:
    """A batch that its money limit ends says so, keeps what it has, and goes on with more money."""
    done = project.here("run", project.job, "--set", "limits.max_cost=0.001", "--json")
    told = summary(done)
    assert (done.code, told["outcome"]) == (3, "stopped"), done.err
    assert float(str(told["cost"])) <= 0.001
    assert "max_cost" in done.err
    more = summary(project.here("run", project.job, "--json"))
    assert more["skipped"] == told["completed"]
    assert more["completed"] == 20 - int(str(told["completed"]))


def test_too_many_failures_are_exit_code_3(project: Project) -> None:
    """A batch that its failure limit ends says so."""
    project.provider(e400=1)
    done = project.here("run", project.job, "--set", "limits.max_failures=3")
    assert done.code == 3
    assert "max_failures" in done.out


def test_a_prefect_api_that_is_configured_is_used(project: Project) -> None:
    """A run goes through Prefect where an API is configured, and around it when it is told to."""
    nobody = project.environment(PREFECT_API_URL="http://127.0.0.1:9/api")
    done = project.rowmill("run", project.job, env=nobody)
    assert (done.code, project.server.stats()["recv"]) == (2, 0)
    assert "The Prefect API at http://127.0.0.1:9/api does not answer" in done.err
    assert "--no-prefect" in done.err
    assert project.rowmill("run", project.job, "--no-prefect", env=nobody).code == 0
    assert project.server.stats()["recv"] == 20


def until(holds: Callable[[], bool], *, of: subprocess.Popen[str]) -> None:
    """Wait for a condition, as long as the program lives."""
    deadline = time.monotonic() + 30
    while not holds():
        assert of.poll() is None, of.communicate()
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def ended(running: subprocess.Popen[str]) -> Ended:
    out, err = running.communicate(timeout=30)
    return Ended(code=running.returncode, out=out, err=err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once(project: Project, number: signal.Signals) -> None:
    """The first signal finishes the calls under way and begins none; the run can be resumed."""
    project.provider(lat=400)
    running = project.begin("run", project.job, "--json")
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    running.send_signal(number)
    done = ended(running)
    told = summary(done)
    assert (done.code, told["outcome"]) == (130, "interrupted")
    assert "press Ctrl-C again to drop them" in done.err
    assert f"resume with: rowmill run {project.job}" in done.err
    assert told["completed"] == project.server.stats()["recv"] == 8
    assert counts(told) == (20, 8, 0, 0, 12)
    more = summary(project.here("run", project.job, "--json"))
    assert counts(more) == (20, 12, 0, 8, 0)
    assert project.server.stats()["rows_billed"]["excess"] == 0


def test_interrupted_twice(project: Project) -> None:
    """The second signal drops the calls under way; what was answered is kept, and the run can be resumed."""
    project.provider(lat=60_000)
    running = project.begin("run", project.job, "--json")
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    lines = [running.stderr.readline()]
    while "again to drop them" not in lines[-1]:
        lines.append(running.stderr.readline())
    running.send_signal(signal.SIGINT)
    done = ended(running)
    told = summary(done)
    assert (done.code, told["outcome"], counts(told)) == (130, "interrupted", (20, 0, 0, 0, 20))
    assert "dropping the calls under way" in done.err
    assert "resume with" in done.err
    project.provider()
    assert counts(summary(project.here("run", project.job, "--json"))) == (20, 20, 0, 0, 0)


def test_a_reader_that_leaves_does_not_end_a_run(project: Project) -> None:
    """A run whose progress nobody reads any more goes on to its end, with the right exit code."""
    running = project.begin("run", project.job)
    assert running.stderr is not None
    assert running.stdout is not None
    running.stderr.close()
    running.stdout.close()
    assert running.wait(timeout=30) == 0
    assert project.output.is_file()


def test_a_bug_is_exit_code_70() -> None:
    """What nobody foresaw has a traceback and an exit code of its own."""
    program = (
        "from tasks_lib.cli.app import app\n"
        "@app.command()\n"
        "def broken() -> None: raise ZeroDivisionError('a bug')\n"
        "from tasks_lib.cli import main\n"
        "main(['broken'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "ZeroDivisionError: a bug" in done.stderr
