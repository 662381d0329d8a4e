"""What is settled in the environment before Prefect is imported."""

import os
from pathlib import Path

import pytest

from flows.settings import _settle, api_configured
from tasks_lib.configs import Environment


def configured(variables: dict[str, str]) -> bool:
    home = Path(variables["PREFECT_HOME"])
    return api_configured(Environment.of(variables), project=home)


def test_nobody_is_told_that_prefect_runs(tmp_path):
    """Prefect is told not to track, unless the user has said otherwise."""
    environ = {"HOME": str(tmp_path)}
    _settle(environ)
    assert environ["DO_NOT_TRACK"] == "1"
    said = {"HOME": str(tmp_path), "DO_NOT_TRACK": "0"}
    _settle(said)
    assert said["DO_NOT_TRACK"] == "0"


def test_a_home_that_can_be_written_stays(tmp_path):
    """Where Prefect's usual home will do, nothing is changed, and nothing is made there."""
    environ = {"PREFECT_HOME": str(tmp_path / "new")}
    _settle(environ)
    assert environ["PREFECT_HOME"] == str(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_replaced():
    """Without a home that can be written, Prefect gets one of this user's among the temporary folders."""
    environ = {"HOME": "/dev/null"}
    _settle(environ)
    home = Path(environ["PREFECT_HOME"])
    assert (home.stat().st_uid, home.stat().st_mode & 0o077) == (os.getuid(), 0)


@pytest.mark.parametrize(
    ("before", "after"), [("", "127.0.0.1"), ("intra.net", "intra.net,127.0.0.1"), ("*", "*")]
)
def test_loopback_is_kept_from_a_proxy(tmp_path, before, after):
    """A proxy knows nothing of our loopback; what the user exempts stays exempt."""
    environ = {"PREFECT_HOME": str(tmp_path), "HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": before}
    _settle(environ)
    assert environ["NO_PROXY"] == after


def test_without_a_proxy_nothing_is_exempt(tmp_path):
    """NO_PROXY is none of our business where there is no proxy."""
    environ = {"PREFECT_HOME": str(tmp_path)}
    _settle(environ)
    assert "NO_PROXY" not in environ


def test_a_prefect_api_is_found_where_prefect_looks_for_it(tmp_path):
    """By variable, by the active profile, or by the project's prefect.toml or pyproject.toml."""
    home = {"PREFECT_HOME": str(tmp_path)}
    assert not configured(home)
    assert configured({**home, "PREFECT_API_URL": "http://127.0.0.1:4200/api"})
    profiles = 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://x/api"\n[profiles.b]\n'
    (tmp_path / "profiles.toml").write_text(profiles)
    assert configured(home)
    assert not configured({**home, "PREFECT_PROFILE": "b"})
    (tmp_path / "profiles.toml").unlink()
    (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://x/api"\n')
    assert configured(home)
    (tmp_path / "prefect.toml").unlink()
    (tmp_path / "pyproject.toml").write_text('[tool.prefect.api]\nurl = "http://x/api"\n')
    assert configured(home)
    (tmp_path / "pyproject.toml").write_text("not [ toml")
    assert not configured(home)
