"""`rowmill plan --sample`: asks, counts, estimates."""

import json

import duckdb
import pytest

from tests.cli.conftest import Project


def test_a_sample_counts_and_is_told(project: Project) -> None:
    """What it will cost is said before, what the rest comes to after, and the run skips what was asked."""
    project.rows(300)
    done = project.rowmill("plan", project.job, "--sample", "40")
    assert (done.code, project.server.stats()["recv"]) == (0, 40), done.err
    assert "asks 40 of the 300 rows that are left, for about $" in done.err
    assert "The 260 rows that are left:" in done.out
    for told in ("cost", "input tokens", "output tokens", "rows that fail", "time"):
        assert any(line.strip().startswith(told) for line in done.out.splitlines()), done.out
    assert not project.output.exists(), "a sample is no run, and writes no output"
    again = project.here("run", project.job, "--json")
    assert json.loads(again.out)["skipped"] == 40
    assert project.server.stats()["recv"] == 300
    with duckdb.connect(str(project.ledger), read_only=True) as ledger:
        batches = ledger.execute(
            "select rows, completed, skipped from batches order by started_at"
        ).fetchall()
    assert batches == [(40, 40, 0), (300, 260, 40)]
    none = project.here("plan", project.job, "--sample", "40")
    assert (none.code, project.server.stats()["recv"]) == (0, 300)
    assert "none of its 300 rows is left" in none.out


def test_the_estimate_is_what_the_run_then_costs(project: Project) -> None:
    """Prompts of many lengths, some answers asked for twice: the rest's cost is in the interval."""
    project.provider(e_badcontent=0.2)
    project.write(
        "data/reviews.csv",
        "id,customer,review\n" + "".join(f"{n},c,{'fine ' * (1 + n * n % 97)}\n" for n in range(400)),
    )
    sampled = json.loads(
        project.here("plan", project.job, "--sample", "80", "--json", "--set", "retries.content=3").out
    )
    left = sampled["estimate"]["left"]
    ran = json.loads(project.here("run", project.job, "--json", "--set", "retries.content=3").out)
    assert sampled["sample"]["rows"] == 80
    assert ran["skipped"] == sampled["sample"]["completed"]
    assert left["cost"]["low"] <= float(ran["cost"]) <= left["cost"]["high"]
    assert left["input_tokens"]["low"] <= ran["input_tokens"] <= left["input_tokens"]["high"]
    assert left["cost"]["high"] < 2 * left["cost"]["low"]


def test_the_flag_is_about_the_sample_and_the_jobs_limit_about_the_rest(project: Project) -> None:
    """--max-cost stops the sample before it is passed; what is left is held against the job's own limit."""
    project.rows(300)
    bounded = project.here("plan", project.job, "--sample", "100", "--max-cost", "0.003", "--json")
    told = json.loads(bounded.out)
    assert bounded.code == 3
    assert 0 < float(told["sample"]["cost"]) <= 0.003
    assert "is no fair choice" in bounded.err or "are no fair choice" in bounded.err
    assert "limits.max_cost" not in bounded.err
    job_bound = project.here("plan", project.job, "--sample", "20", "--set", "limits.max_cost=0.01")
    assert job_bound.code == 0
    assert "will likely cost more than limits.max_cost of $0.01" in job_bound.err
    too_little = project.here("plan", project.job, "--sample", "20", "--max-cost", "0.00001")
    assert too_little.code == 3
    assert "A call is only made where its worst case is within the limit" in too_little.out


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_plan_without_a_sample_asks_nothing(project: Project, arguments: tuple[str, ...]) -> None:
    """`rowmill plan` by itself makes no call and writes no ledger."""
    assert project.here("plan", project.job, *arguments).code == 0
    assert project.server.stats()["recv"] == 0
    assert not project.ledger.exists()


def test_failed_rows_of_a_sample_are_told(project: Project) -> None:
    """The exit code is that of a run, and the share of rows that fail is estimated."""
    project.rows(100)
    project.provider(e400=1.0)
    done = project.here("plan", project.job, "--sample", "10", "--json")
    told = json.loads(done.out)
    assert done.code == 1
    assert told["estimate"]["rows_failed"] == 10
    assert told["estimate"]["rows_left"] == 100
    assert told["estimate"]["left"]["share_of_failed_rows"]["likely"] == 1.0
