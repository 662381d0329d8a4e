"""Revisions from the command line: named, compared, planned and reported."""

import csv
import json

import pytest

from tests.cli.conftest import TASK, Project

HEAD = TASK.partition("user_prompt")[0]
TWO = f"""{HEAD}revisions:
  - {{tag: v1, weight: 0.5, user_prompt: "row_id: {{{{id}}}}. Review: {{{{review}}}}", model: "pretend:pretend-1", parameters: {{max_tokens: 64}}}}
  - {{tag: v2, weight: 0.5, user_prompt: "row_id: {{{{id}}}}. Is it kind? {{{{review}}}}", model: "pretend:pretend-1", parameters: {{max_tokens: 64}}}}
"""  # noqa: E501  a flow mapping is one line


@pytest.fixture
def two(project: Project) -> Project:
    project.write("configs/tasks/sentiment.yaml", TWO)
    return project


def ids(project: Project) -> dict[str, str]:
    """The ids of the revisions by tag, as plan tells them."""
    told = json.loads(project.here("plan", project.job, "--json").out)
    return {revision["tag"]: revision["id"] for revision in told["revisions"]}


def test_plan_shows_the_ids_of_revisions(two: Project) -> None:
    """R06: the id that pins a revision is what plan shows, before anything was run."""
    done = two.here("plan", two.job)
    assert done.code == 0
    for tag, named in ids(two).items():
        (line,) = (line for line in done.out.splitlines() if line.strip().startswith(tag))
        assert named in line
        assert "50.0%" in line


def test_a_flag_names_the_revision(two: Project) -> None:
    """R06 R07: --revision-id and --revision-tag choose the revision, and exclude each other."""
    named = ids(two)["v2"]
    assert two.here("run", two.job, "--revision-id", named, "--limit", "5").code == 0
    assert two.here("run", two.job, "--revision-tag", "v2", "--limit", "6").code == 0
    asked = "select revision_tag, revision_chosen_by, count(*) as n from task_runs group by all order by all"
    found = json.loads(two.here("sql", asked, "--format", "json").out)
    assert [tuple(row.values()) for row in found] == [("v2", "id", 5), ("v2", "tag", 1)]
    refused = two.here("run", two.job, "--revision-id", named, "--revision-tag", "v1")
    assert refused.code == 2
    assert "--revision-tag: 'revision_tag' stands beside 'revision_id'." in refused.err
    unknown = two.here("run", two.job, "--revision-tag", "v3")
    assert (unknown.code, "the task has no revision tagged 'v3'" in unknown.err) == (2, True)


def test_a_comparison_adds_up_from_plan_to_output(two: Project) -> None:
    """R28: plan, progress, summary and output of --compare all speak of runs, and their counts add up."""
    planned = two.here("plan", two.job, "--compare", "v1,v2")
    assert "20 rows x 2 revisions = 40, 0 of them answered before" in planned.out
    assert "40 runs, about" in planned.out
    done = two.here("run", two.job, "--compare", "v1,v2")
    assert done.code == 0, done.err
    assert "20 rows with each of v1, v2" in done.out
    assert "see how they compare with: rowmill report revisions" in done.out
    assert "40 = 40 completed + 0 failed + 0 skipped + 0 cancelled" in done.out
    assert two.server.stats()["recv"] == 40
    with two.output.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["rowmill_revision_tag"] for line in lines] == ["v1", "v2"] * 20
    assert [line["id"] for line in lines] == [str(n) for n in range(1, 21) for _ in "ab"]
    again = two.here("run", two.job, "--compare", "all")
    assert "all 20 rows were answered before by each of v1, v2; no call was made" in again.out
    exported = two.here("export", two.job, "--compare", "v2,v1", "--output", "both.csv")
    assert "wrote 40 rows" in exported.err


def test_a_comparison_that_is_cut_short_says_how_to_go_on(two: Project) -> None:
    """R28: the command that takes a comparison up again compares the same revisions."""
    two.provider(status=500)
    stopped = two.here("run", two.job, "--compare", "v1,v2", "--set", "limits.max_failures=4")
    assert stopped.code == 3
    assert "--compare v1,v2" in stopped.out


@pytest.mark.parametrize("name", ["revisions", "revision_comparison", "revision_pairs", "revision_traffic"])
def test_reports_on_revisions_are_for_people_and_programs(two: Project, name: str) -> None:
    """R28 R29: figures of revisions with their bounds, in a terminal, as JSON and as CSV."""
    assert two.here("run", two.job, "--compare", "v1,v2").code == 0
    report = two.here("report", name)
    assert report.code == 0, report.err
    assert {"v1", "v2"} <= set(report.out.split())
    rows = json.loads(two.here("report", name, "--format", "json").out)
    lines = list(csv.DictReader(two.here("report", name, "--format", "csv").out.splitlines()))
    assert rows
    assert len(lines) == len(rows)
    assert list(lines[0]) == list(rows[0])


def test_the_report_tells_which_revision_is_better(two: Project) -> None:
    """R28: success, cost, tokens and time of each, and row by row where both were run, in one table."""
    assert two.here("run", two.job, "--compare", "v1,v2").code == 0
    report = two.here("report", "revisions", "--format", "json")
    rows = {(row["figure"], row["revision"], row["less"]): row for row in json.loads(report.out)}
    success = rows["success", "v2", None]
    assert (success["value"], success["high"], success["runs"]) == (1.0, 1.0, 20)
    assert 0.8 < success["low"] < 0.85  # 20 of 20, after Wilson
    difference = rows["success", "v2", "v1"]
    assert (difference["value"], difference["runs"]) == (0.0, 20)
    assert difference["low"] < 0 < difference["high"]
    assert {"cost", "seconds", "equal answers"} <= {figure for figure, _, less in rows if less == "v1"}
