"""A job as a deployment: what is asked for, what Prefect has of it, and what is told before."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from flows.deploy import HEARTBEAT, SILENCE, Wanted, automation_of, schedule_of, wanted
from flows.enrich import parameters_of, secrets_among
from tasks_lib.cli.deploy import Plan, deploy_job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.stretches import Options
from tests.flows.conftest import in_child
from tests.flows.jobs import write_job
from tests.flows.processes import ROOT

DOCS = (ROOT / "docs/scheduled.md").read_text("utf-8")
KEY = "sk-test-scheduled-0123456789"  # must never be seen


def asked(job: Path, **changed) -> Wanted:
    told = {
        "name": "nightly",
        "schedule": None,
        "pool": "rowmill",
        "tags": (),
        "overrides": {},
        "options": Options(),
        "ask_for_money": True,
        "crash_retries": 3,
        "report_folder": None,
    }
    return wanted(job, **{**told, **changed})


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ({"cron": "30 2 * * *"}, CronSchedule(cron="30 2 * * *", timezone="UTC")),
        (
            {"cron": "30 2 * * 1-5", "timezone": "Europe/Berlin"},
            CronSchedule(cron="30 2 * * 1-5", timezone="Europe/Berlin"),
        ),
        ({}, None),
    ],
)
def test_a_schedule_is_what_was_said(given, schedule):
    """A cron is meant in UTC unless a zone is named; without either there is no schedule."""
    assert schedule_of(**{"cron": None, "every": None, "timezone": None, **given}) == schedule


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("90m", 5_400), ("6h", 21_600), ("1d", 86_400)])
def test_an_interval_has_a_unit(text, seconds):
    """Times between two runs are written with their unit."""
    schedule = schedule_of(cron=None, every=text, timezone=None)
    assert isinstance(schedule, IntervalSchedule)
    assert schedule.interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cron": "99 2 * * *"}, "--cron '99 2 * * *' is no schedule"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Base"}, "timezone"),
        ({"cron": "0 2 * * *", "every": "1h"}, "give one of the two"),
        ({"every": "1h", "timezone": "UTC"}, "--timezone says where --cron is meant"),
        ({"every": "sometimes"}, "Write 30m, 6h or 1d"),
        ({"every": "1s"}, "less than 10 seconds"),
        ({"every": "²h"}, "Write 30m, 6h or 1d"),
    ],
)
def test_what_is_no_schedule_is_told(given, told):
    """A wrong schedule is refused in words, before anything is deployed."""
    with pytest.raises(Mistake, match=told.replace("(", r"\(").replace("*", r"\*")):
        schedule_of(**{"cron": None, "every": None, "timezone": None, **given})


def test_parameters_are_those_of_a_run(tmp_path, monkeypatch):
    """What is overridden is passed on, paths from the folder that the command was typed in."""
    monkeypatch.chdir(tmp_path)
    told = asked(
        Path("job.yaml"),
        overrides={
            "input": Path("today.csv"),
            "limits.max_cost": 5,
            "reporting_group": "acme",
            "compare": "v1,v2",
            "workers": 2,
            "runner": "dask",
        },
        options=Options(limit=7, retry_failed=True),
        tags=("night", "rowmill"),
        report_folder=Path("out"),
    )
    assert told.parameters == {
        "job": str(tmp_path / "job.yaml"),
        "input": str(tmp_path / "today.csv"),
        "reporting_group": "acme",
        "workers": 2,
        "runner": "dask",
        "limit": 7,
        "overrides": {"limits.max_cost": 5, "compare": "v1,v2"},
        "retry_failed": True,
        "wait_for_ledger": 21_600,
        "on_money_limit": "ask",
        "crash_retries": 3,
        "report_folder": str(tmp_path / "out"),
    }
    assert told.tags == ("rowmill", "night")
    assert told.folder == tmp_path


def test_an_address_that_is_signed_is_not_deployed():
    """Prefect keeps and shows parameters: one with a query is refused, and is in no message."""
    url = "https://files.example.com/a.csv?X-Amz-Signature=5e1f7a"
    with pytest.raises(Mistake, match="as good as a password") as refused:
        asked(Path("job.yaml"), overrides={"input": url})
    assert "5e1f7a" not in str(refused.value)
    assert "5e1f7a" not in json.dumps(parameters_of("j", overrides={"input": url}, options=Options()))
    assert secrets_among({"input": url, "output": "s3://b/?.csv", "workers": 2}) == {"input": url}


def test_a_dead_run_is_one_that_is_silent_for_long():
    """One lost heartbeat is no death; every end but a crash is an end, TakenOver among them."""
    trigger = automation_of("nightly", uuid4()).trigger
    assert SILENCE >= 3 * HEARTBEAT
    states = re.findall(r"^\| ([A-Za-z]+) \| [A-Z]+ \|", DOCS, flags=re.MULTILINE)
    assert {f"prefect.flow-run.{name}" for name in states} - trigger.expect == {"prefect.flow-run.Crashed"}
    assert trigger.after == {"prefect.flow-run.heartbeat", "prefect.flow-run.Crashed"}


def test_nothing_is_deployed_where_there_is_no_server(tmp_path, monkeypatch):
    """Without an API there is no schedule, and the message says how to have one."""
    job = write_job(tmp_path / "job", base_url="http://127.0.0.1:9/v1")
    monkeypatch.chdir(tmp_path)  # no settings of Prefect's here, nor in the home
    for name in ("PREFECT_API_URL", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    plan = Plan(
        name=None,
        pool="rowmill",
        cron="30 2 * * *",
        every=None,
        timezone=None,
        tags=(),
        on_money_limit="ask",
        crash_retries=3,
        report_folder=None,
    )
    with pytest.raises(Mistake, match="prefect server start"):
        deploy_job(job.path, overrides={}, options=Options(), plan=plan, as_json=False, dry_run=False)


@pytest.mark.prefect
@pytest.mark.timeout(300)
def test_a_job_is_deployed_once_however_often(tmp_path, prefect):
    """The same name replaces what was there: one deployment, one schedule, one automation of each kind.

    A job that cannot be run is not deployed. A key that is missing here is told, and a key that is there goes
    nowhere.
    """
    job = write_job(tmp_path, base_url="https://api.example.com/v1")
    providers = {"loopback": {"base_url": "https://api.example.com/v1", "key": "DEPLOYED_KEY", "free": True}}
    (tmp_path / "providers.yaml").write_text(json.dumps(providers))
    command = ["deploy", str(job.path), "--name", "twice", "--pool", "deployed"]
    is_wrong, first, second, entry = in_child(
        {"way": "rowmill", "rowmill": [*command, "--set", "reporting_group={{custmer}}"]},
        {"way": "rowmill", "rowmill": [*command, "--cron", "30 2 * * *", "--tag", "a"]},
        {
            "way": "rowmill",
            "rowmill": [*command, "--every", "6h", "--crash-retries", "0", "--json"],
            "environ": {"DEPLOYED_KEY": KEY},
        },
        {"way": "rowmill", "rowmill": [*command, "--cron", "30 2 * * *", "--dry-run"]},
        env=prefect.env,
    )
    assert is_wrong["code"] == 2
    assert "custmer" in is_wrong["err"]

    assert first["code"] == 0, first["err"]
    assert first["out"].startswith("enrich/twice: deployed")  # the wrong one was not
    assert "prefect worker start --pool deployed" in first["out"]
    assert "DEPLOYED_KEY is not set here" in first["err"]
    assert "'deployed-key'" in first["err"]
    assert second["code"] == 0, second["err"]
    told = json.loads(second["out"])
    assert told["replaced"] == str(job.path)
    assert not told["pool_made"]
    assert "DEPLOYED_KEY" not in second["err"]

    found = prefect.api.deployment("enrich/twice")
    assert found["id"] == told["id"]
    assert [one["schedule"]["interval"] for one in found["schedules"]] == [21_600.0]
    assert found["parameters"]["job"] == str(job.path)
    assert found["tags"] == ["rowmill"]
    assert (found["work_pool_name"], found["entrypoint"]) == ("deployed", "flows.enrich.enrich")
    ours = [name for name in prefect.api.automations() if name.startswith("rowmill: twice")]
    assert ours == told["automations"] == []  # it is not to be tried again
    assert KEY not in json.dumps([found, second, entry])

    (example,) = re.findall(r"^```yaml\n(name: .*?)^```$", DOCS, flags=re.MULTILINE | re.DOTALL)
    automation = yaml.safe_load(example.replace("00000000-0000-0000-0000-000000000000", found["id"]))
    assert prefect.api.put_automation(automation)  # which says no to what it does not understand
    assert [one["name"] for one in yaml.safe_load(entry["out"])] == ["twice"]


@pytest.mark.prefect
@pytest.mark.scheduled
@pytest.mark.timeout(300)
def test_the_entry_that_is_printed_is_one_that_prefect_takes(tmp_path, prefect):
    """What a dry run prints can be deployed by Prefect's own command."""
    job = write_job(tmp_path, base_url="https://api.example.com/v1")
    command = ["deploy", str(job.path), "--name", "printed", "--pool", "printed"]
    made, entry = in_child(
        {"way": "rowmill", "rowmill": command},  # which makes the pool
        {"way": "rowmill", "rowmill": [*command, "--cron", "30 2 * * *", "--dry-run"]},
        env=prefect.env,
    )
    assert made["code"] == entry["code"] == 0, made["err"] + entry["err"]
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": yaml.safe_load(entry["out"])}))
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml"],
        cwd=tmp_path,
        env={**prefect.env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = prefect.api.deployment("enrich/printed")
    assert [one["schedule"]["cron"] for one in found["schedules"]] == ["30 2 * * *"]
    assert found["parameters"]["crash_retries"] == 3
