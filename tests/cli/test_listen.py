"""`rowmill listen` as a process of its own: what it says, whom it believes, and how it ends."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.cli.conftest import HEEDING_INTERRUPTS, KEY, ROOT, Project
from tests.live.hook_senders import WHSEC, body_about, signed

ENDING = "Zm9yIHdlYmFnZW50IGFsb25l"
SECRETS = {"PARALLEL_WEBHOOK_SECRET": WHSEC, "WEBAGENT_HOOK_PATH": ENDING}
_OPENER = build_opener(ProxyHandler({}))  # the environment's proxy knows nothing of our loopback


@dataclass
class Listening:
    """The command while it listens, and what it has said."""

    process: subprocess.Popen[str]
    said: list[str]
    port: int

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Post a notice; gives the status."""
        asked = Request(f"http://127.0.0.1:{self.port}{path}", data=body, headers=dict(headers or {}))
        try:
            with _OPENER.open(asked, timeout=20) as response:
                return int(response.status)
        except HTTPError as error:
            with error:
                return error.code

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Interrupt it; gives exit code, standard output and standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, "".join(self.said) + out, err


@contextmanager
def listening(project: Project, *arguments: str, **variables: str) -> Iterator[Listening]:
    """The command, once it listens; whatever happens, it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING_INTERRUPTS, "listen", "--port", "0", *arguments],
        cwd=project.folder,
        env=project.environment(**(variables or SECRETS)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            while not any(line.strip().startswith("tells") for line in said):
                said.append(process.stdout.readline())
                assert said[-1], process.stderr and process.stderr.read()
            found = re.search(r":(\d+)/hooks/", "".join(said))
            assert found is not None
            yield Listening(process, said, int(found[1]))
        finally:
            process.kill()


def test_notices_are_heard_and_told(project: Project) -> None:
    """W09, P19: it says where it listens, and of each notice that it came, in a line without its content."""
    body = body_about("trun_canary")
    with listening(project, "--job", str(project.job)) as one:
        assert one.post("/hooks/parallel", body, signed(body, message_id="whevent_canary")) == 204
        assert one.post("/hooks/parallel", body, signed(body, key=b"x" * 32)) == 401
        assert one.post(f"/hooks/webagent/{ENDING}", b'{"task_run_id": 4711}') == 204
        assert one.post("/hooks/webagent/canary", b'{"task_run_id": 4711}') == 404
        code, out, err = one.end()
    assert code == 0
    first, second, third, last = out.splitlines()
    assert first.split() == ["parallel", f"http://127.0.0.1:{one.port}/hooks/parallel"]
    assert second.split() == ["webagent", f"http://127.0.0.1:{one.port}/hooks/webagent/…"]
    assert third.split()[0] == "tells"
    assert third.endswith("data/rowmill.duckdb")
    assert last == (
        "2 notices were taken and 2 refused; a batch was told of 0 runs, and 2 were only counted."
    )
    lines = [line.partition(" ")[2] for line in err.splitlines() if line[:2] == "20"]
    assert sorted(lines) == sorted(
        [
            f"parallel 204 a run has news ({len(body)} bytes)",
            "only counted: no batch is running",
            f"parallel 401 its signature is not by the secret ({len(body)} bytes)",
            "webagent 204 a run is said to have news (21 bytes)",
            "- 404 nothing arrives under that path (0 bytes)",
        ]
    )
    for secret in (WHSEC, ENDING, KEY, "canary", "4711"):
        assert secret not in out + err


def test_one_secret_is_enough(project: Project) -> None:
    """Whoever has no secret is not listened for; the variable may be another one, and SIGTERM ends it."""
    with listening(project, "--ledger", "some.duckdb", "--webagent-path", "MINE", MINE=ENDING) as one:
        assert one.post("/hooks/parallel", b"{}") == 404
        assert one.post(f"/hooks/webagent/{ENDING}", b'{"task_run_id": 4711}') == 204
        code, out, err = one.end(signal.SIGTERM)
    assert (code, "parallel" in out, "Traceback" in err) == (0, False, False)


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        ((), {}, "nobody could be believed: set PARALLEL_WEBHOOK_SECRET"),
        ((), {"PARALLEL_WEBHOOK_SECRET": " "}, "nobody could be believed"),
        (("--parallel-secret", "MINE"), {"WEBAGENT_HOOK_PATH": ENDING}, "MINE is not set"),
        ((), {"PARALLEL_WEBHOOK_SECRET": "whsec_bm8="}, "holds is no signing secret"),
        ((), {"WEBAGENT_HOOK_PATH": "canary"}, "holds is no secret path"),
        (("--host", "nowhere"), {"WEBAGENT_HOOK_PATH": ENDING}, "cannot listen at nowhere"),
        (("--port", "70000"), {"WEBAGENT_HOOK_PATH": ENDING}, "65535"),
    ],
)
def test_what_cannot_be_is_told_first(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    told: str,
) -> None:
    """Without a secret, with one that is none, or where nobody can listen it ends with a word and code 2."""
    for name in (*SECRETS, "MINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = project.here("listen", "--ledger", "some.duckdb", *arguments)
    assert done.code == 2
    assert told in done.err
    assert "canary" not in done.err
    assert "Traceback" not in done.err


def test_listening_elsewhere_is_warned_of(project: Project) -> None:
    """At an address that others reach what comes is not encrypted, which is said."""
    with listening(project, "--ledger", "some.duckdb", "--host", "0.0.0.0") as one:  # noqa: S104 - that is the point
        _, _, err = one.end()
    assert "warning: 0.0.0.0 may be reached from elsewhere" in err


def test_it_imports_no_web_framework() -> None:
    """It is quick to start, and no other command loads what it needs."""
    program = (
        "import sys, tasks_lib.cli.listen\n"
        "print(sorted({'uvicorn', 'starlette', 'fastapi', 'prefect', 'httpx'} & set(sys.modules)))\n"
        "print(sorted({'h11', 'standardwebhooks'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(ROOT), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n['h11', 'standardwebhooks']\n"
    other = "import sys, tasks_lib.live, tasks_lib.cli.control\nprint('standardwebhooks' in sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", other], cwd=Path(ROOT), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_help_says_what_is_written_where(project: Project) -> None:
    """W09, P19: the help shows both parameters as they stand in a task, brackets and all."""
    done = project.here("listen", "--help")
    assert "webhook: {url: https://…/hooks/parallel, event_types: [task_run.status]}" in done.out
    assert "webhook_url: https://…/hooks/webagent/SECRET" in done.out
