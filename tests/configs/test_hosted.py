# ruff: noqa: E501  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, check_hosted, load_job, load_providers, oauth_for, secret_for
from tasks_lib.domain.provider import Hosted, Timeouts
from tests.configs.project import JOB, Project

FILE = "configs/providers.yaml"
ORG = "7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18"
PROJECT = "01234567-89ab-4cde-8f01-23456789abcd"
RIGHTBRAIN = """\
mine:
  protocol: rightbrain
  base_url: https://rightbrain.example.com/api/v1
  key: MINE_KEY
  org_id: 7E2C1D3A-9F40-4C5B-8A61-0D9E5B7F2C18
  project_id: MINE_PROJECT
  oauth_client_id: MINE_CLIENT
  oauth_client_secret: MINE_SECRET
  oauth_url: https://oauth.example.com/oauth2/token
  timeouts: {run: 900}
"""


def test_an_account_with_hosted_tasks_says_where_they_are(project: Project) -> None:
    """R02, R03: organisation and project are UUIDs, or variables that hold them; one is read in small letters."""
    project.write(FILE, RIGHTBRAIN)
    mine = load_providers(project.job, env={"MINE_PROJECT": f" {PROJECT.upper()}\n"})["mine"]
    assert (mine.protocol, mine.timeouts) == ("rightbrain", Timeouts(run=900))
    assert mine.hosted == Hosted(
        org_id=ORG,
        project_id=PROJECT,
        oauth_client_id="MINE_CLIENT",
        oauth_client_secret="MINE_SECRET",  # noqa: S106  a variable's name
        oauth_url="https://oauth.example.com/oauth2/token",
    )
    check_hosted(mine, {})


@pytest.mark.parametrize("protocol", ["parallel", "webagent"])
def test_other_hosted_tasks_need_nothing_further(project: Project, protocol: str) -> None:
    """W01: an address is enough for Webagent on a machine of one's own, and a key for Parallel."""
    project.write(FILE, f"mine: {{protocol: {protocol}, base_url: 'http://localhost:1'}}\n")
    mine = load_providers(project.job, env={})["mine"]
    assert (mine.protocol, mine.hosted) == (protocol, Hosted())
    check_hosted(mine, {})
    assert secret_for(mine, {}) is None


def test_the_cloud_edition_is_asked_for_by_name(project: Project) -> None:
    """W01: what is not said is a server of one's own."""
    project.write(FILE, "mine: {protocol: webagent, base_url: 'https://x.example.com', edition: cloud}\n")
    mine = load_providers(project.job, env={})["mine"]
    assert mine.hosted == Hosted(edition="cloud")


def test_models_of_other_protocols_are_no_hosted_tasks() -> None:
    """So that nobody takes one for the other."""
    others = {name for name, one in load_providers(None, env={}).items() if one.hosted is None}
    assert {"openai", "anthropic", "google", "local", "ollama"} <= others


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "MINE_PROJECT is not set, and provider 'mine' needs it. Set it with: export MINE_PROJECT=…, to its project_id."),
        ({"MINE_PROJECT": " "}, "MINE_PROJECT is not set, and provider 'mine' needs it. Set it with: export MINE_PROJECT=…, to its project_id."),
        ({"MINE_PROJECT": "sk-12345"}, "what MINE_PROJECT holds is no UUID, and provider 'mine' needs one as its project_id"),
    ],
)  # fmt: skip
def test_an_id_that_is_not_there_is_told_before_the_first_call(
    project: Project, variables: dict[str, str], message: str
) -> None:
    """R02: and what the variable holds instead is not repeated, since it may be a secret."""
    project.write(FILE, RIGHTBRAIN)
    mine = load_providers(project.job, env=variables)["mine"]
    with pytest.raises(ConfigError) as caught:
        check_hosted(mine, variables)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            RIGHTBRAIN.replace("  project_id: MINE_PROJECT\n", ""),
            ":2:3: mine.project_id is needed by the protocol rightbrain. Write a UUID, or a variable that holds one.",
        ),
        (
            RIGHTBRAIN.replace("MINE_PROJECT", "my project"),
            ":6:15: mine.project_id must be a UUID such as 7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18, or the name of a variable of the environment that holds one",
        ),
        (
            RIGHTBRAIN.replace("  oauth_client_secret: MINE_SECRET\n", ""),
            ":7:20: mine.oauth_client_id needs oauth_client_secret beside it",
        ),
        (
            RIGHTBRAIN.replace("MINE_SECRET", "sk-abcdef"),
            ":8:24: mine.oauth_client_secret must be the name of a variable of the environment, such as OPENAI_API_KEY, and never a key. Put the key itself into that variable.",
        ),
        (
            "mine: {base_url: 'http://x', org_id: A}\n",
            ":1:38: mine.org_id is known to the protocol rightbrain only, not to openai",
        ),
        (
            "mine: {protocol: parallel, base_url: 'http://x', edition: cloud}\n",
            ":1:59: mine.edition is known to the protocol webagent only, not to parallel",
        ),
        (
            "mine: {protocol: webagent, base_url: 'http://x', edition: both}\n",
            ":1:59: mine.edition must be self_hosted or cloud, not 'both'",
        ),
        (
            "mine: {protocol: parallel, base_url: 'http://x', timeouts: {run: 0}}\n",
            ":1:66: mine.timeouts.run must be more than 0, not 0",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_such_an_account_says_where_and_why(
    project: Project, text: str, message: str
) -> None:
    """Each mistake is told with file, line, column and remedy."""
    project.write(FILE, text)
    with pytest.raises(ConfigError) as caught:
        load_providers(project.job, env={})
    assert project.told(caught.value) == [FILE + message]


def test_tokens_are_had_with_a_client_where_no_key_is_set(project: Project) -> None:
    """R01: a key wins, since whoever sets it means it; half a client is as good as none."""
    project.write(FILE, RIGHTBRAIN)
    mine = load_providers(project.job, env={})["mine"]
    client = {"MINE_CLIENT": "me", "MINE_SECRET": "abc-def\n"}
    pair = oauth_for(mine, client)
    assert pair is not None
    assert [one.reveal() for one in pair] == ["me", "abc-def"]
    assert secret_for(mine, client) is None
    key = secret_for(mine, {**client, "MINE_KEY": "k"})
    assert key is not None
    assert oauth_for(mine, {**client, "MINE_KEY": "k"}) is None
    assert oauth_for(mine, {"MINE_CLIENT": "me"}) is None
    with pytest.raises(ConfigError) as caught:
        secret_for(mine, {"MINE_CLIENT": "me"})
    assert str(caught.value) == (
        "MINE_KEY is not set, and provider 'mine' needs it. Set it with: export MINE_KEY=…; "
        "or set MINE_CLIENT and MINE_SECRET; for a server of your own, set MINE_BASE_URL to its address."
    )


def test_what_cannot_be_a_client_is_refused_and_not_repeated(project: Project) -> None:
    """R01: it goes no further than its variable."""
    project.write(FILE, RIGHTBRAIN)
    mine = load_providers(project.job, env={})["mine"]
    with pytest.raises(ConfigError) as caught:
        oauth_for(mine, {"MINE_CLIENT": "me", "MINE_SECRET": "two words"})
    assert "two words" not in str(caught.value)


ALL = """\
par: {protocol: parallel, base_url: 'http://localhost:1'}
brain: {protocol: rightbrain, base_url: 'http://localhost:1', org_id: ORG, project_id: PROJECT}
agent: {protocol: webagent, base_url: 'http://localhost:1'}
cloud: {protocol: webagent, base_url: 'http://localhost:1', edition: cloud}
"""


@pytest.mark.parametrize(
    "model",
    ["par:core-fast", "par:ultra8x", f"brain:{ORG}", f"brain:{ORG.upper()}", "agent:17", "cloud:tsk_1-a"],
)
def test_a_hosted_task_is_named_where_a_model_is(project: Project, model: str) -> None:
    """R04, W02, P04: a processor, a UUID, a whole number, and what the cloud has; a ladder of them, too."""
    project.write(FILE, ALL)
    project.write(
        "configs/tasks/task.yaml", f'user_prompt: "{{{{text}}}}"\nmodel: {model}\nfallback: [par:core]\n'
    )
    (revision,) = load_job(project.job).task.revisions
    assert [str(choice.model) for choice in revision.models] == [model, "par:core"]


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("par:Core", "'Core', behind 'par:', must be the name of a processor, such as lite, base or core-fast"),
        ("par:../v1", "'../v1', behind 'par:', must be the name of a processor, such as lite, base or core-fast"),
        ("brain:7", "'7', behind 'brain:', must be the id of a task there, which is a UUID such as 7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18"),
        (f"agent:{ORG}", "a text that looks like a secret, behind 'agent:', must be the id of a task there, which is a whole number such as 7"),
        ("agent:-1", "'-1', behind 'agent:', must be the id of a task there, which is a whole number such as 7"),
        ("cloud:a/b", "'a/b', behind 'cloud:', must be the id of a task there, of letters, digits, '-' and '_'"),
    ],
)  # fmt: skip
def test_a_name_that_no_hosted_task_has_is_told_where_it_stands(
    project: Project, model: str, wrong: str
) -> None:
    """R04, R53, W02: with line and column, before any network is asked."""
    project.write(FILE, ALL)
    project.write("configs/tasks/task.yaml", f'user_prompt: "{{{{text}}}}"\nmodel: {model}\n')
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [f"configs/tasks/task.yaml:2:8: {wrong}"]


def test_rows_choose_their_processor(project: Project) -> None:
    """P04: by a column, alone or behind the provider's name."""
    project.write(FILE, ALL)
    project.write("configs/jobs/job.yaml", JOB + "override: {model: 'par:{{label}}'}\n")
    job = load_job(project.job)
    assert job.overrides.columns == ("label",)
    assert str(job.task.revisions[0].models[0].model) == "openai:gpt-5-mini"
    project.write("configs/jobs/job.yaml", JOB + "override: {model: 'parr:{{label}}'}\n")
    with pytest.raises(ConfigError, match=r"unknown provider 'parr'"):
        load_job(project.job)


def test_a_browser_agent_is_told_its_model_and_format(project: Project) -> None:
    """W05, W10: what is the program's own matter elsewhere is a parameter of such a task."""
    project.write(FILE, ALL)
    task = 'user_prompt: "{{text}}"\nmodel: agent:1\nparameters: {model: o3, response_format: text}\n'
    project.write("configs/tasks/task.yaml", task)
    (revision,) = load_job(project.job).task.revisions
    assert revision.models[0].parameters == {"model": "o3", "response_format": "text"}
    project.write("configs/tasks/task.yaml", task.replace("agent:1", "par:lite"))
    with pytest.raises(ConfigError, match="'model' cannot be a parameter"):
        load_job(project.job)
