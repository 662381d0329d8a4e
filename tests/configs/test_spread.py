# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, load_job
from tasks_lib.domain.spread import Spread
from tests.configs.project import JOB, Project

FILE = "configs/jobs/job.yaml"


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("", None),
        ("spread: dask\n", Spread(runner="dask")),
        (
            "spread: {runner: ray, address: 'ray://head:10001'}\n",
            Spread(runner="ray", address="ray://head:10001"),
        ),
        ("spread: {runner: dask, listen: 10.0.0.5}\n", Spread(runner="dask", host="10.0.0.5")),
        (
            "spread: {runner: dask, listen: '10.0.0.5:8750'}\n",
            Spread(runner="dask", host="10.0.0.5", port=8750),
        ),
        (
            "spread: {runner: dask, listen: '[fd00::5]:8750'}\n",
            Spread(runner="dask", host="fd00::5", port=8750),
        ),
        ("spread: {runner: dask, listen: 'fd00::5'}\n", Spread(runner="dask", host="fd00::5")),
        (
            "spread: {runner: dask, listen: '0.0.0.0:8750', advertise: [batch.example.com]}\n",
            Spread(runner="dask", host="0.0.0.0", port=8750, advertise=("batch.example.com",)),  # noqa: S104  # read, not bound
        ),
    ],
)
def test_who_starts_workers_is_read(project: Project, text, spread):
    """A runner alone, or with what it needs; without one, workers are processes of this machine."""
    project.write(FILE, JOB + text)
    assert load_job(project.job).spread == spread


def test_tickets_stand_beside_the_file_that_names_them(project: Project):
    """A folder of tickets is relative to the job's file, or, by a flag, to the working directory."""
    project.write(FILE, JOB + "spread: {runner: hand, listen: 10.0.0.5, tickets: tickets}\n")
    by_file = load_job(project.job).spread
    assert by_file is not None
    assert by_file.is_by_hand
    assert by_file.tickets == project.job.parent / "tickets"
    by_flag = load_job(project.job, overrides={"tickets": "/srv/tickets"}).spread
    assert by_flag is not None
    assert str(by_flag.tickets) == "/srv/tickets"


@pytest.mark.parametrize(
    ("told", "overrides", "spread"),
    [
        ("", {"runner": "dask", "runner_address": "tcp://a:1"}, Spread(runner="dask", address="tcp://a:1")),
        ("spread: dask\n", {"runner_address": "tcp://a:1"}, Spread(runner="dask", address="tcp://a:1")),
        (
            "spread: {runner: dask, address: 'tcp://a:1'}\n",
            {"runner": "dask"},
            Spread(runner="dask", address="tcp://a:1"),
        ),
        ("spread: {runner: dask, address: 'tcp://a:1'}\n", {"runner": "ray"}, Spread(runner="ray")),
        ("spread: {runner: dask, address: 'tcp://a:1'}\n", {"spread": "null"}, None),
    ],
)
def test_flags_say_who_starts_workers(project: Project, told, overrides, spread):
    """Flags lie over the file's; another runner has none of the address that the file's own has."""
    project.write(FILE, JOB + told)
    assert load_job(project.job, overrides=overrides).spread == spread


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spread: {runner: spark}\n", "spread.runner must be dask, ray or hand, not 'spark'"),
        ("spread: {address: 'tcp://a:1'}\n", "'runner' is missing in spread"),
        (
            "spread: {runner: dask, adress: 'tcp://a:1'}\n",
            "unknown key 'adress' in spread. Did you mean 'address'?",
        ),
        (
            "spread: {runner: dask, address: 'tcp://ann:hunter2@a:1'}\n",
            "spread.address must be an address such as tcp://scheduler:8786 or ray://head:10001, without a login",
        ),
        (
            "spread: {runner: dask, listen: '10.0.0.5:99999'}\n",
            "spread.listen must be an address of this machine, or address:port, such as 10.0.0.5:8750",
        ),
        (
            "spread: {runner: dask, listen: 0.0.0.0}\n",
            "spread.listen means every address of this machine, and workers have to call one. "
            "Name one, or say by spread.advertise how they reach it.",
        ),
        ("spread: {runner: dask, tickets: here}\n", "spread.tickets is for workers started by hand"),
        (
            "spread: {runner: hand, listen: 10.0.0.5}\n",
            "workers that are started by hand need tickets. Name a folder for them: --tickets, spread.tickets.",
        ),
        (
            "spread: {runner: hand, tickets: here}\n",
            "it is not said where workers that are started by hand call in. "
            "Name an address of this machine that they reach: --listen, spread.listen.",
        ),
        (
            "workers: 65\n",
            "workers: 65 processes on one machine are more than 64. Have fewer, or spread them over machines by `spread`.",
        ),
    ],
)
def test_what_does_not_fit_is_told(project: Project, text, message):
    """Each slip is told with its place and the remedy, and a login is not repeated."""
    project.write(FILE, JOB + text)
    with pytest.raises(ConfigError) as told:
        load_job(project.job)
    (line,) = str(told.value).splitlines()
    place, _, said = line.partition(" ")
    assert FILE + ":3:" in place
    assert said == message
    assert "hunter2" not in str(told.value)


def test_many_machines_bear_many_workers(project: Project):
    """What one machine cannot bear, several can."""
    project.write(FILE, JOB + "workers: 200\nspread: dask\n")
    job = load_job(project.job)
    assert job.workers == 200
    assert job.definition["spread"] == {
        "runner": "dask", "address": None, "host": None, "port": 0, "advertise": [], "tickets": None,
    }  # fmt: skip
