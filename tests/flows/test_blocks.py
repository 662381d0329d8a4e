"""Which secrets a job needs, and by which names they are looked for."""

import json

import pytest

from flows.blocks import Found, block_of, naming_both_places, variables_of, with_stand_ins
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.setup import load_setup
from tests.flows.jobs import write_job

PROVIDERS = {
    "loopback": {"base_url": "https://api.example.com/v1", "key": "LOOPBACK_KEY", "free": True},
    "another": {"base_url": "https://api.example.com/v2", "key": "ANOTHER_KEY", "free": True},
    "tasks": {
        "protocol": "rightbrain",
        "base_url": "https://api.example.com/v3",
        "key": "TASKS_KEY",
        "org_id": "TASKS_ORG",
        "project_id": "3f0c9d4e-1111-4222-8333-444455556666",
        "oauth_client_id": "TASKS_ID",
        "oauth_client_secret": "TASKS_SECRET",
        "oauth_url": "https://auth.example.com/token",
    },
}


def setup_with(folder, *, model="loopback:tiny", variables=None, more=None):
    job = write_job(folder, base_url="https://api.example.com/v1", more=more)
    (folder / "providers.yaml").write_text(json.dumps(PROVIDERS))
    task = json.loads((folder / "task.yaml").read_text())
    task["revisions"][0]["model"] = model
    (folder / "task.yaml").write_text(json.dumps(task))
    return load_setup(job.path, environment=Environment.of(variables or {}, user="me"))


@pytest.mark.parametrize(
    ("variable", "block"),
    [
        ("OPENAI_API_KEY", "openai-api-key"),
        ("_MY__KEY2_", "my-key2"),
        ("already-dashed", "already-dashed"),
    ],
)
def test_a_block_is_named_for_its_variable(variable, block):
    """A block's name is the variable's in lower case with dashes, as Prefect allows names to be."""
    assert block_of(variable) == block


def test_only_what_the_job_needs_is_looked_for(tmp_path):
    """Other accounts' keys are not touched; where rows name their model, any account may be meant."""
    assert variables_of(setup_with(tmp_path / "one")) == ("LOOPBACK_KEY",)
    assert variables_of(
        setup_with(tmp_path / "hosted", model="tasks:7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18")
    ) == (
        "TASKS_ORG",
        "TASKS_KEY",
        "TASKS_ID",
        "TASKS_SECRET",
    )
    signed = setup_with(
        tmp_path / "signed", more={"webhook": {"url": "https://example.com/hook", "secret": "HOOK_SECRET"}}
    )
    assert variables_of(signed) == ("LOOPBACK_KEY", "HOOK_SECRET")
    by_row = setup_with(tmp_path / "rows", more={"override": {"model": {"column": "customer"}}})
    assert {"LOOPBACK_KEY", "ANOTHER_KEY", "TASKS_KEY"} <= set(variables_of(by_row))


def test_the_message_names_both_places(tmp_path):
    """A key that is nowhere is told with the variable and with the block."""
    setup = setup_with(tmp_path)
    with pytest.raises(Mistake) as raised:
        setup.secrets()
    told = str(naming_both_places(raised.value, ("LOOPBACK_KEY",)))
    assert "export LOOPBACK_KEY=" in told
    assert "Prefect Secret block 'loopback-key'" in told
    other = Mistake("the source has no column 'id'")
    assert naming_both_places(other, ("LOOPBACK_KEY",)) is other


def test_a_job_can_be_checked_without_its_keys(tmp_path):
    """What only the worker's machine knows is stood in for where the job is checked, and nowhere else."""
    setup = setup_with(tmp_path, variables={"HOME": "/somewhere"})
    found = Found.without_blocks(setup)
    assert found.missing == ("LOOPBACK_KEY",)
    stand_in = with_stand_ins(found)
    assert load_setup(setup.path, environment=stand_in).secrets()["loopback"] is not None
    assert found.environment.variables == {"HOME": "/somewhere"}
    assert stand_in.user == "me"


def test_an_environment_is_not_shown():
    """What was found does not show its values when it is printed."""
    environment = Environment.of({"LOOPBACK_KEY": "sk-very-secret"})
    assert "sk-very-secret" not in repr(
        Found(environment=environment, in_blocks=("LOOPBACK_KEY",), missing=())
    )
