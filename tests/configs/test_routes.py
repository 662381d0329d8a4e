"""How a provider is reached, from its settings and the environment."""

# ruff: noqa: E501  a message is asserted as it is printed, in one line
from pathlib import Path

import pytest

from tasks_lib.configs import ConfigError, load_providers, route_for
from tasks_lib.domain.provider import Provider, Route, Timeouts
from tests.configs.project import Project
from tests.engine.secure import Authority

FILE = "configs/providers.yaml"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Authority(tmp_path).bundle


def at(base_url: str = "https://api.acme.test/v1", **settings: object) -> Provider:
    return Provider(name="acme", protocol="openai", base_url=base_url, **settings)  # type: ignore[arg-type]


def proxy_of(provider: Provider, **env: str) -> str | None:
    """The proxy's whole address, or None."""
    proxy = route_for(provider, env).proxy
    return None if proxy is None else proxy.reveal()


def test_without_a_word_the_way_is_straight() -> None:
    """No proxy, the system's certificates, HTTP/1.1."""
    assert route_for(at(), {}) == Route(proxy=None, ca_bundle=None, http2=False)


def test_settings_of_a_provider_are_read(project: Project, bundle: Path) -> None:
    """All that says how it is reached and waited for, with paths relative to the file."""
    (project.folder / "configs/ours.pem").write_bytes(bundle.read_bytes())
    project.write(
        FILE,
        """\
mine:
  base_url: https://llm.example.com/v1
  timeouts: {connect: 5, read: 30, total: 300}
  proxy: http://proxy.example.com:3128
  ca_bundle: ours.pem
  http2: true
  idempotency_header: Idempotency-Key
""",
    )
    mine = load_providers(project.job, env={})["mine"]
    assert mine.timeouts == Timeouts(connect=5, read=30, total=300)
    assert mine.idempotency_header == "Idempotency-Key"
    route = route_for(mine, {"HTTPS_PROXY": "http://other:1", "SSL_CERT_FILE": "/other.pem"})
    assert route.proxy is not None
    assert route.proxy.reveal() == "http://proxy.example.com:3128"
    assert (route.ca_bundle, route.http2) == (project.folder / "configs/ours.pem", True)


def test_no_built_in_provider_is_sent_idempotency_keys() -> None:
    """None of them documents a header for it, and their own clients send none."""
    assert [p.name for p in load_providers(None, env={}).values() if p.idempotency_header] == []


@pytest.mark.parametrize(
    ("env", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ({"https_proxy": "http://p:1", "all_proxy": "http://q:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ({"HTTPS_PROXY": "  "}, None),
        ({"HTTPS_PROXY": "http://u:pw@p:1"}, "http://u:pw@p:1"),
    ],
)
def test_the_usual_variables_name_the_proxy(env: dict[str, str], proxy: str | None) -> None:
    """Each for its scheme, in either case, and ALL_PROXY for what has none."""
    assert proxy_of(at(), **env) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("acme.test", True),
        (".acme.test", True),
        ("*.acme.test", True),
        ("api.acme.test", True),
        ("other.test, API.acme.test ", True),
        ("api.acme.test:443", False),
        ("api.acme.test:8443", True),
        ("me.test", False),
        ("*", True),
        ("", False),
    ],
)
def test_no_proxy_names_who_is_reached_directly(no_proxy: str, direct: bool) -> None:
    """By name, domain or port, as other programs read it."""
    told = proxy_of(at("https://api.acme.test:8443/v1"), HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy)
    assert (told is None) is direct


@pytest.mark.parametrize(
    ("no_proxy", "direct"), [("10.0.0.0/8", True), ("10.2.0.0/16", False), ("10.1.2.3", True)]
)
def test_no_proxy_may_name_networks(no_proxy: str, direct: bool) -> None:
    """A server of one's own is often known by its number."""
    told = proxy_of(at("http://10.1.2.3:8000/v1"), http_proxy="http://p:1", no_proxy=no_proxy)
    assert (told is None) is direct


@pytest.mark.parametrize(
    "base_url", ["http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"]
)
def test_this_machine_is_never_behind_the_environments_proxy(base_url: str) -> None:
    """But behind one that its own settings name, if somebody wishes so."""
    assert proxy_of(at(base_url), HTTP_PROXY="http://p:1", ALL_PROXY="http://p:1") is None
    assert proxy_of(at(base_url, proxy="http://q:1"), HTTP_PROXY="http://p:1") == "http://q:1"


def test_a_proxy_with_a_password_stands_in_a_variable() -> None:
    """The file names it, and no repr shows it."""
    route = route_for(at(proxy="ACME_PROXY"), {"ACME_PROXY": "http://u:pw-secret@p:1"})
    assert route.proxy is not None
    assert route.proxy.reveal() == "http://u:pw-secret@p:1"
    assert "pw-secret" not in repr(route)


def test_a_visitor_of_a_web_server_names_no_proxy() -> None:
    """Where HTTP_PROXY may be a visitor's `Proxy` header, it is not believed."""
    assert proxy_of(at("http://acme.test/v1"), HTTP_PROXY="http://evil:1", REQUEST_METHOD="GET") is None


@pytest.mark.parametrize(
    ("provider", "env", "message"),
    [
        (
            at(proxy="ACME_PROXY"),
            {},
            "ACME_PROXY is not set, and provider 'acme' is reached through the proxy in it. Set it with: export ACME_PROXY=http://…",
        ),
        (
            at(),
            {"HTTPS_PROXY": "http://u:pw-secret@p:port"},
            "what HTTPS_PROXY holds is not the address of a proxy. It is like http://proxy:3128",
        ),
        (
            at(),
            {"HTTPS_PROXY": "ftp://u:pw-secret@p"},
            "what HTTPS_PROXY holds is not the address of a proxy. It is like http://proxy:3128",
        ),
        (at(), {"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE: there is no file /nowhere/ca.pem"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    provider: Provider, env: dict[str, str], message: str
) -> None:
    """What is wrong, and never what it holds."""
    with pytest.raises(ConfigError) as raised:
        route_for(provider, env)
    assert str(raised.value) == message
    assert raised.value.__cause__ is None


def test_certificates_are_named_by_the_environment(bundle: Path) -> None:
    """SSL_CERT_FILE, as other programs read it; a provider's own go before."""
    env = {"SSL_CERT_FILE": str(bundle)}
    assert route_for(at(), env).ca_bundle == bundle
    assert route_for(at(ca_bundle=Path("/ours.pem")), env).ca_bundle == Path("/ours.pem")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openai: {proxy: 'http://u:pw-secret@p:1'}\n", ":1:17: openai.proxy must hold no user name and no password. Put the whole address into a variable of the environment, and write that variable's name here."),
        ("openai: {proxy: 'proxy.example.com:3128'}\n", ":1:17: openai.proxy must be an address such as http://proxy.example.com:3128, or the variable that holds one"),
        ("openai: {proxy: 'http://p:port'}\n", ":1:17: openai.proxy must be an address such as http://proxy.example.com:3128, or the variable that holds one"),
        ("openai:\n  ca_bundle: no.pem\n", ":2:14: openai.ca_bundle: there is no file configs/no.pem"),
        ("openai:\n  ca_bundle: providers.yaml\n", ":2:14: openai.ca_bundle: configs/providers.yaml holds no certificates in PEM (-----BEGIN CERTIFICATE-----)"),
        ("openai: {http2: yes}\n", ":1:17: openai.http2 must be true or false, not 'yes'"),
        ("openai: {timeouts: {read: 0}}\n", ":1:27: openai.timeouts.read must be more than 0, not 0"),
        ("openai: {timeouts: {write: 1}}\n", ":1:21: unknown key 'write' in openai.timeouts. The keys are connect, read, total, run."),
        ("openai: {idempotency_header: 'a b'}\n", ":1:30: openai.idempotency_header must be the name of a header, such as Idempotency-Key"),
        ("openai: {idempotency_header: Authorization}\n", ":1:30: openai.idempotency_header must be the name of a header, such as Idempotency-Key"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong_say_where_and_why(project: Project, text: str, message: str) -> None:
    """Each mistake is told with file, line and column, and no password with it."""
    project.write(FILE, text)
    with pytest.raises(ConfigError) as raised:
        load_providers(project.job, env={})
    assert project.told(raised.value) == [FILE + message]
    assert "pw-secret" not in repr(raised.value)
