import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from shutil import copytree

import pytest

from tests.cli.conftest import KEY, NO_PROFILES, Project, begun
from tests.llmserver import Server


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Project:
    made = begun(tmp_path_factory.mktemp("ran"), server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETEND_KEY", KEY)
        patch.setenv("PREFECT_PROFILES_PATH", NO_PROFILES)
        made.rows(6)
        assert made.here("run", made.job).code == 0
        made.rows(8)
        made.provider(e400=1)
        assert made.here("run", made.job).code == 1
    return made


@pytest.fixture
def ran(project: Project, ran_once: Project) -> Project:
    """A project whose job was run, with two rows that failed."""
    copytree(ran_once.folder, project.folder, dirs_exist_ok=True)
    return project


def test_status_lists_batches(ran: Project) -> None:
    """The latest batch comes first, with what it came to."""
    done = ran.here("status")
    assert done.code == 0
    failed, completed = done.out.splitlines()[2:]
    assert re.search(r"reviews +some failed +0 of 8 +2 +6 +\$0$", failed.rstrip())
    assert re.search(r"reviews +completed +6 of 6 +0 +0 +\$0.00\d+$", completed.rstrip())


def test_status_for_a_program(ran: Project) -> None:
    """With --json the batches are an array of objects with exact amounts."""
    batches = json.loads(ran.here("status", "--json").out)
    assert [batch["status"] for batch in batches] == ["completed_with_failures", "completed"]
    assert isinstance(batches[1]["cost"], str)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "configs/jobs/reviews.yaml"],
        ["status", "data/rowmill.duckdb"],
        ["status", "--ledger", "data/rowmill.duckdb"],
        ["report", "failures", "--job", "configs/jobs/reviews.yaml"],
        ["sql", "select 1", "--ledger", "data/rowmill.duckdb"],
    ],
)
def test_the_ledger_is_found(ran: Project, arguments: list[str]) -> None:
    """A ledger is named, or is its job's, or that of all jobs here."""
    assert ran.here(*arguments).code == 0


def test_a_ledger_is_found_without_its_source(ran: Project) -> None:
    """What was paid for can be read when the source is gone."""
    (ran.folder / "data/reviews.csv").unlink()
    assert ran.here("report", "cost_by_model").code == 0


def test_several_ledgers(ran: Project) -> None:
    """Where jobs have different ledgers none is guessed."""
    ran.write("configs/jobs/other.yaml", ran.job.read_text("utf-8").replace("rowmill.duckdb", "other.duckdb"))
    done = ran.here("status")
    assert done.code == 2
    assert "which ledger? The jobs in configs/jobs/ have data/other.duckdb, data/rowmill.duckdb" in done.err


def test_no_ledger_at_all(project: Project) -> None:
    """Where there is neither job nor ledger the message says how to name one."""
    for file in (project.folder / "configs/jobs").iterdir():
        file.unlink()
    done = project.here("report", "failures")
    assert done.code == 2
    assert "give --job FILE or --ledger FILE" in done.err


def test_a_ledger_that_is_not_there(project: Project) -> None:
    """Reading makes no ledger."""
    done = project.here("status")
    assert done.code == 2
    assert "no ledger at" in done.err
    assert not project.ledger.exists()


def test_show(ran: Project) -> None:
    """A task run is shown with what was sent, what came back, and every attempt."""
    found = ran.here("sql", "select id from task_runs where row_key = '3'", "--format", "csv").out.split()[1]
    done = ran.here("show", found.replace("-", ""))
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["id", found]
    assert "fine thing number 3" in done.out
    assert "attempts: 1" in done.out
    told = json.loads(ran.here("show", found, "--json").out)
    assert (told["row_key"], told["attempts"][0]["http_status"]) == ("3", 200)
    assert told["response"]["sentiment"] in ("positive", "negative")


@pytest.mark.parametrize("name", ["ffffffff", "01", "no id"])
def test_show_nothing(ran: Project, name: str) -> None:
    """A run that is not there, or is not named well, is told in one line."""
    done = ran.here("show", name)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_reports_are_listed(project: Project) -> None:
    """Without a name the reports are listed with what each answers; that takes no ledger."""
    done = project.here("report", "--format", "json")
    reports = {one["report"]: one["answers"] for one in json.loads(done.out)}
    assert {"cost_by_reporting_group", "cost_by_model", "spend_by_day", "failures", "latency"} <= set(reports)
    assert all(answer.endswith("?") for answer in reports.values())


def test_every_report_can_be_printed(ran: Project) -> None:
    """Each report that is listed can be had in each form."""
    for one in json.loads(ran.here("report", "--format", "json").out):
        for form in ("table", "csv", "json", "markdown"):
            done = ran.here("report", one["report"], "--format", form)
            assert done.code == 0, (one, done.err)


def test_a_report_adds_up(ran: Project) -> None:
    """The report by reporting group accounts for every row."""
    rows = json.loads(ran.here("report", "cost_by_reporting_group", "--format", "json").out)
    assert {row["reporting_group"] for row in rows} == {"customer 0", "customer 1", "customer 2"}
    assert (sum(row["completed"] for row in rows), sum(row["failed"] for row in rows)) == (6, 2)


def test_a_report_since_a_date(ran: Project) -> None:
    """A report can be about what happened lately."""
    assert json.loads(ran.here("report", "cost_by_model", "--format", "json", "--since", "2020-01-01").out)
    assert (
        json.loads(ran.here("report", "cost_by_model", "--format", "json", "--since", "2999-01-01").out) == []
    )


def test_an_unknown_report(ran: Project) -> None:
    """A misspelt report is answered with the one that was probably meant."""
    done = ran.here("report", "cost_by_modl")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean 'cost_by_model'?" in done.err


def test_a_report_into_a_file(ran: Project) -> None:
    """A report is written in the form that the file's name asks for."""
    assert ran.here("report", "failures", "--output", "failures.csv").out == ""
    with (ran.folder / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert [row["failure_kind"] for row in csv.DictReader(file)] == ["rejected"]


def test_sql(ran: Project) -> None:
    """A question in SQL has its answer in the form that was asked for."""
    question = "select status, count(*) as n, null as nothing from task_runs group by all order by 1"
    told = list(csv.reader(io.StringIO(ran.here("sql", question, "--format", "csv").out)))
    assert told == [["status", "n", "nothing"], ["completed", "6", ""], ["failed", "2", ""]]


def test_sql_from_standard_input(ran: Project) -> None:
    """A longer question comes from a file."""
    done = ran.rowmill("sql", "-", "--format", "json", text="select count(*) as n\nfrom task_runs")
    assert json.loads(done.out) == [{"n": 8}]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from task_runs", "nothing"),
        ("delete from task_runs", "one question"),
        ("select 1; select 2", "one question"),
        ("copy task_runs to 'out.csv'", "one question"),
        ("select * from read_csv('data/reviews.csv')", "disabled"),
    ],
)
def test_sql_that_is_refused(ran: Project, question: str, words: str) -> None:
    """What DuckDB does not understand is told in its words; nothing is changed and no other file is read."""
    done = ran.here("sql", question)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert ran.here("sql", "select count(*) as n from task_runs", "--format", "csv").out == "n\n8\n"


def test_a_reader_that_has_read_enough(ran: Project) -> None:
    """`rowmill sql … | head` ends quietly."""
    command = [sys.executable, "-m", "tasks_lib.cli", "sql", "from range(1_000_000)", "--format", "csv"]
    with subprocess.Popen(
        command,
        cwd=ran.folder,
        env=ran.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "range\n"
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(timeout=30) == 0


def test_export(ran: Project) -> None:
    """The rows are written with the answers that there are, and no call is made."""
    calls = ran.server.stats()["recv"]
    ran.rows(10)
    done = ran.here("export", ran.job, "--output", "so_far.csv")
    assert done.code == 0, done.err
    assert "wrote 10 rows to so_far.csv" in done.err
    with (ran.folder / "so_far.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["sentiment"]) for row in rows] == [True] * 6 + [False] * 4
    assert ran.server.stats()["recv"] == calls


def test_plan(ran: Project) -> None:
    """A plan says what would be run at which price, and makes no call."""
    calls = ran.server.stats()["recv"]
    done = ran.here("plan", ran.job)
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "rows 8, 6 of them answered before" in words
    assert "to run 2, about" in words
    assert "pretend:pretend-1 1 2 prices.yaml" in words
    told = json.loads(ran.here("plan", ran.job, "--limit", "7", "--json").out)
    assert (told["rows"], told["answered"], told["to_run"]) == (7, 6, 1)
    assert ran.server.stats()["recv"] == calls


def test_a_price_that_nobody_knows(project: Project) -> None:
    """A plan warns of a model without a price, and a run does not make its cost zero."""
    (project.folder / "configs/prices.yaml").unlink()
    assert "the price of pretend:pretend-1 is unknown" in project.here("plan", project.job).err
    assert "cost       $0 + 20 calls of unknown cost" in project.here("run", project.job).out


def test_init(project: Project) -> None:
    """What init writes can be planned with another model, and is not written over."""
    done = project.here("init", "mine")
    assert (done.code, "rowmill plan mine/configs/jobs/people.yaml" in done.out) == (0, True)
    task = project.folder / "mine/configs/tasks/people.yaml"
    task.write_text(
        task.read_text("utf-8").replace("model: local:smollm2-135m-instruct", "model: openai:gpt-5-mini")
    )
    again = project.here("init", "mine")
    assert "kept   mine/configs/tasks/people.yaml" in again.out
    assert "gpt-5-mini" in task.read_text("utf-8")


def test_init_where_nothing_can_be_written(project: Project) -> None:
    """A folder that cannot be made is told by its path."""
    project.write("file", "")
    done = project.here("init", "file/below")
    assert (done.code, done.out) == (2, "")
    assert "file/below" in done.err


@pytest.mark.parametrize("of", ["job", "task", "providers", "prices"])
def test_schema(project: Project, of: str) -> None:
    """The schema of each file is JSON Schema."""
    told = json.loads(project.here("schema", of).out)
    assert told["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_live_line_on_a_terminal(project: Project) -> None:
    """On a terminal a line is drawn anew while the rows are run, and the summary stands alone at the end."""
    project.provider(lat=250)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tasks_lib.cli", "run", str(project.job), "--json"]
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as running:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 65_536):
                drawn += piece
        except OSError:  # the other end is closed
            os.close(ours)
        assert running.stdout is not None
        assert json.loads(running.stdout.read())["completed"] == 20
    text = drawn.decode()
    assert "━" in text
    assert "/20" in text
    assert "\x1b[2K" in text
    assert "20 = 20 completed" in text
