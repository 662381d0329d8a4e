# ruff: noqa: E501  a message is asserted as it is printed, in one line
from pathlib import Path

import pytest

from tasks_lib.configs import ConfigError, load_providers, provider_of, secret_for
from tasks_lib.domain.job import Limits
from tasks_lib.domain.provider import Provider, Timeouts
from tasks_lib.domain.task import Model
from tasks_lib.local import LOCAL_BASE_URL
from tests.configs.project import JOB, Project

FILE = "configs/providers.yaml"


def test_providers_are_known_without_a_file() -> None:
    """W06: a newcomer writes a task for any of these and sets a key, or starts a server."""
    providers = load_providers(None, env={})
    assert {name: (one.base_url, one.key) for name, one in providers.items()} == {
        "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
        "google": ("https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"),
        "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
        "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        "together": ("https://api.together.ai/v1", "TOGETHER_API_KEY"),
        "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        "parallel": ("https://api.parallel.ai", "PARALLEL_API_KEY"),
        "rightbrain": ("https://app.rightbrain.ai/api/v1", "RB_API_KEY"),
        "webagent": ("http://localhost:8080", None),
        "webagent_cloud": ("https://api.webagent.cloud", "WEBAGENT_API_KEY"),
        "ollama": ("http://localhost:11434/v1", None),
        "vllm": ("http://localhost:8000/v1", None),
        "llamacpp": ("http://localhost:8080/v1", None),
        "local": (LOCAL_BASE_URL, None),
    }
    assert [name for name, one in providers.items() if one.free] == ["ollama", "vllm", "llamacpp", "local"]
    assert [name for name, one in providers.items() if one.protocol == "local"] == ["local"]
    # how many calls may be in flight is found out, but of hosted tasks, whose runs cannot be taken back
    assert not any(one.limits.in_flight for one in providers.values() if one.hosted is None)


def test_labels_and_forms_are_told_only_where_they_are_known(project: Project) -> None:
    """OpenAI has fields for user and metadata, OpenRouter for the user; nobody else is sent unknown ones."""
    project.write(
        FILE, "openai: {carries: [metadata]}\nmine: {base_url: 'http://localhost:1/v1', carries: [user]}\n"
    )
    built_in, own = load_providers(None, env={}), load_providers(project.job, env={})
    assert {name: set(one.carries) for name, one in built_in.items() if one.carries} == {
        "openai": {"safety_identifier", "metadata", "store"},
        "openrouter": {"user"},
    }
    assert (own["openai"].carries, own["mine"].carries) == (frozenset({"metadata"}), frozenset({"user"}))
    assert [name for name, one in built_in.items() if one.image_response_format] == ["together"]


def test_a_file_of_the_user_lies_over_what_is_built_in(project: Project) -> None:
    """Key by key, and a key without a value takes away."""
    project.write(
        FILE,
        """\
openai: {limits: {requests_per_minute: 500}, timeouts: {total: 30}}
groq: {key: , limits: {in_flight: null}, structured_output: json_schema}
mine:
  base_url: https://llm.example.com/v1/
  key: MINE_KEY
  max_tokens_field: max_completion_tokens
  free: true
local: {model_path: ../models/m.gguf}
mistral:
""",
    )
    providers = load_providers(project.job, env={})
    openai = providers["openai"]
    assert openai.limits == Limits(requests_per_minute=500)
    assert (openai.timeouts, openai.key) == (Timeouts(connect=10, total=30), "OPENAI_API_KEY")
    groq = providers["groq"]
    assert (groq.key, groq.limits, groq.structured_output) == (None, Limits(), "json_schema")
    assert groq.max_tokens_field == "max_completion_tokens"
    assert providers["mine"] == Provider(
        name="mine",
        protocol="openai",
        base_url="https://llm.example.com/v1",
        key="MINE_KEY",
        max_tokens_field="max_completion_tokens",
        free=True,
    )
    assert providers["local"].model_path == project.folder / "models/m.gguf"
    assert providers["mistral"] == load_providers(None, env={})["mistral"]


def test_the_nearest_file_is_taken(project: Project) -> None:
    """The one that the job names, or that beside it, or that one folder up."""
    entry = "mine: {{base_url: https://{0}.example.com}}\n"

    def found() -> str:
        return load_providers(project.job, env={})["mine"].base_url

    project.write(FILE, entry.format("above"))
    assert found() == "https://above.example.com"
    project.write("configs/jobs/providers.yaml", entry.format("beside"))
    assert found() == "https://beside.example.com"
    project.write("other/mine.yaml", entry.format("named"))
    project.write("configs/jobs/job.yaml", JOB + "providers: ../../other/mine.yaml\n")
    assert found() == "https://named.example.com"
    overrides = {"providers": str(project.folder / FILE)}
    flagged = load_providers(project.job, env={}, overrides=overrides)["mine"]
    assert flagged.base_url == "https://above.example.com"


def test_a_task_finds_the_same_file(project: Project) -> None:
    """A task that is used without a job has the providers of its folder, too."""
    project.write(FILE, "mine: {base_url: https://x.example.com}\n")
    assert "mine" in load_providers(project.task, env={})


@pytest.mark.parametrize(
    ("name", "variable"),
    [("openai", "OPENAI_BASE_URL"), ("ollama", "OLLAMA_BASE_URL"), ("my-own.one", "MY_OWN_ONE_BASE_URL")],
)
def test_the_environment_wins_over_every_base_url(project: Project, name: str, variable: str) -> None:
    """The same job runs against another server without a change."""
    project.write(FILE, "my-own.one: {}\n")
    env = {variable: " http://127.0.0.1:18080/c/lat=200/v1/ ", "OTHER_BASE_URL": "x"}
    if name == "openai":
        env["MY_OWN_ONE_BASE_URL"] = "http://x"
    else:
        env.setdefault("MY_OWN_ONE_BASE_URL", "http://x")
    providers = load_providers(project.job, env=env)
    assert providers[name].base_url == "http://127.0.0.1:18080/c/lat=200/v1"


def test_servers_that_a_run_starts_itself_are_where_they_are(project: Project) -> None:
    """LOCAL_BASE_URL is a name that anybody may use for anything."""
    assert load_providers(None, env={"LOCAL_BASE_URL": "http://x"})["local"].base_url == LOCAL_BASE_URL


def test_a_variable_that_is_no_address_is_named() -> None:
    """An empty one counts as not set, and all the wrong ones are told together."""
    env = {"OPENAI_BASE_URL": "api.openai.com", "GROQ_BASE_URL": "http://a:b@c", "MISTRAL_BASE_URL": " "}
    with pytest.raises(ConfigError) as caught:
        load_providers(None, env=env)
    assert str(caught.value).splitlines() == [
        "OPENAI_BASE_URL must be an address such as https://api.openai.com/v1",
        "GROQ_BASE_URL must hold no user name and no password",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openai: {ke: X}\n", ":1:10: unknown key 'ke' in openai. Did you mean 'key'?"),
        ("openai:\n  limits: {in_flght: 1}\n", ":2:12: unknown key 'in_flght' in openai.limits. Did you mean 'in_flight'?"),
        ("openai: 7\n", ":1:9: openai must be a mapping (key: value), not 7"),
        ("[a]\n", ":1:1: the file must be a mapping (key: value), not a list"),
        ("mine: {free: true}\n", ":1:1: provider 'mine' has no base_url. Write base_url beneath it, or set MINE_BASE_URL."),
        ("mine: {base_url: 'ftp://x'}\n", ":1:18: mine.base_url must be an address such as https://api.openai.com/v1"),
        ("mine: {base_url: 'http://x:y/'}\n", ":1:18: mine.base_url must be an address such as https://api.openai.com/v1"),
        ("mine: {base_url: 'http://a b/'}\n", ":1:18: mine.base_url must be an address such as https://api.openai.com/v1"),
        ("mine: {base_url: 'http://x/?a=1'}\n", ":1:18: mine.base_url must end with its path, without '?' or '#'"),
        ("mine: {base_url: 'http://u:pw@x/'}\n", ":1:18: mine.base_url must hold no user name and no password"),
        (
            "mine: {protocol: soap}\n",
            ":1:18: mine.protocol must be openai, anthropic, google, local, parallel, rightbrain or webagent, not 'soap'",
        ),
        (
            "groq: {structured_output: tool}\n",
            ":1:27: groq.structured_output: tool is known to the protocol anthropic only, not to openai",
        ),
        (
            "mine: {structured_output: yes}\n",
            ":1:27: mine.structured_output must be json_schema, json_object, tool or prompt, not 'yes'",
        ),
        (
            "mine: {idempotency_header: X-Goog-Api-Key}\n",
            ":1:28: mine.idempotency_header must be the name of a header, such as Idempotency-Key",
        ),
        ("mine: {timeouts: {total: 0}}\n", ":1:26: mine.timeouts.total must be more than 0, not 0"),
        ("mine: {free: yes}\n", ":1:14: mine.free must be true or false, not 'yes'"),
        (
            "'my own': {}\n",
            ":1:1: the name 'my own' must be 1 to 64 letters, digits, '_', '-' or '.', the first a letter or digit",
        ),
    ],
)  # fmt: skip
def test_a_providers_file_that_is_wrong_says_where_and_why(project: Project, text: str, message: str) -> None:
    """Each mistake is told with file, line, column and remedy."""
    project.write(FILE, text)
    with pytest.raises(ConfigError) as caught:
        load_providers(project.job, env={})
    assert project.told(caught.value) == [FILE + message]


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcDEF123456",
        "gsk_abcDEF0123456789abcd",
        "tgp_v1_abcdefghij",
        "AIzaSyabcdef",
        "0123abc",
        "a8f5f167f44f4964e6c998dee827110c",
        "a8f5f167-f44f-4964-a6c9-98dee827110c",
        "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7",
        "two words",
        "$OPENAI_API_KEY",
    ],
)
def test_a_key_in_place_of_its_variable_is_refused_and_not_repeated(project: Project, key: str) -> None:
    """A secret that somebody pasted into the file goes no further than that."""
    project.write(FILE, f"openai:\n  key: {key}\n")
    with pytest.raises(ConfigError) as caught:
        load_providers(project.job, env={})
    assert project.told(caught.value) == [
        FILE + ":2:8: openai.key must be the name of a variable of the environment, such as OPENAI_API_KEY, "
        "and never a key. Put the key itself into that variable."
    ]
    assert key not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [
        "openai: {limits: {in_flight: sk-abcdef}}\n",
        "openai: {sk-abcdef: X}\n",
        "openai: {protocol: sk-abcdef}\n",
        "sk-abcdef: {ke: 1}\n",
        "openai: sk-abcdef\n",
        "openai: {a: 1}\nsk-abcdef: !x 1\n",
        "sk-abcdef: {}\nsk-abcdef: {}\n",
    ],
)  # fmt: skip
def test_a_secret_in_any_wrong_place_is_not_repeated(project: Project, text: str) -> None:
    """Wherever in the file it was pasted."""
    project.write(FILE, text)
    with pytest.raises(ConfigError) as caught:
        load_providers(project.job, env={})
    assert "abcdef" not in str(caught.value)


def test_a_name_of_ordinary_words_is_no_secret(project: Project) -> None:
    """However long it is, it is repeated."""
    project.write(FILE, "openai: {customer_satisfaction_2024-q3: 1}\n")
    with pytest.raises(ConfigError, match="unknown key 'customer_satisfaction_2024-q3' in openai"):
        load_providers(project.job, env={})


def test_a_model_s_provider_must_be_known() -> None:
    """Otherwise the nearest name is told."""
    providers = load_providers(None, env={})
    assert provider_of(Model("groq", "x"), providers) is providers["groq"]
    with pytest.raises(ConfigError, match=r"^unknown provider 'olama'\. Did you mean 'ollama'\?$"):
        provider_of(Model("olama", "x"), providers)


def provider(*, base_url: str = "https://api.openai.com/v1", key: str | None = "OPENAI_API_KEY") -> Provider:
    return Provider(name="openai", protocol="openai", base_url=base_url, key=key)


def test_a_key_comes_from_its_variable_and_shows_itself_nowhere() -> None:
    """The line break that a file ends with is no part of it."""
    secret = secret_for(provider(), {"OPENAI_API_KEY": " sk-test-1\n"})
    assert secret is not None
    assert secret.reveal() == "sk-test-1"
    assert "sk-test" not in f"{secret!r} {secret}"


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " \n"}])
def test_a_key_that_is_not_set_is_asked_for(env: dict[str, str]) -> None:
    """With the two things that can be done about it."""
    with pytest.raises(ConfigError) as caught:
        secret_for(provider(), env)
    assert str(caught.value) == (
        "OPENAI_API_KEY is not set, and provider 'openai' needs it. "
        "Set it with: export OPENAI_API_KEY=…; for a server of your own, set OPENAI_BASE_URL to its address."
    )


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "schlüssel", "x" * 5000, "nul\x00"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(value: str) -> None:
    """A header could not carry it."""
    with pytest.raises(ConfigError) as caught:
        secret_for(provider(), {"OPENAI_API_KEY": value})
    assert value not in str(caught.value)
    assert caught.value.message == "what OPENAI_API_KEY holds cannot be the key of provider 'openai'"


@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]:80",
        "http://a.localhost",
    ],
)
def test_a_server_on_this_machine_needs_no_key(base_url: str) -> None:
    """And is sent one if it is there."""
    assert secret_for(provider(base_url=base_url), {}) is None
    secret = secret_for(provider(base_url=base_url), {"OPENAI_API_KEY": "k"})
    assert secret is not None
    assert secret.reveal() == "k"


@pytest.mark.parametrize("base_url", ["http://10.0.0.1", "http://localhost.example.com", "http://128.0.0.1"])
def test_a_server_elsewhere_needs_its_key(base_url: str) -> None:
    """However private its address."""
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        secret_for(provider(base_url=base_url), {})


def test_a_provider_without_a_key_is_sent_none() -> None:
    """Wherever it is."""
    assert secret_for(provider(key=None), {"OPENAI_API_KEY": "k"}) is None


def test_no_other_room_reads_the_environment() -> None:
    """`os.environ` and `getenv` stand in this room's environment.py alone."""
    root = Path(__file__).parents[2] / "tasks_lib"
    readers = [
        path.relative_to(root)
        for path in root.rglob("*.py")
        if any(sign in path.read_text("utf-8") for sign in ("os.environ", "getenv("))
    ]
    assert readers == [Path("configs/environment.py")]
