"""A project in a folder of its own, a server on loopback, and the command as a child process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from tasks_lib.cli import main
from tests.llmserver import Server, running_server

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-0123456789abcdef"  # must never be seen again
NO_PROFILES = "/nowhere/profiles.toml"  # whoever runs the tests may have a Prefect server of their own

TASK = """\
task: sentiment
output:
  modality: json
  schema:
    type: object
    properties: {sentiment: {enum: [positive, negative]}}
    required: [sentiment]
    additionalProperties: false
user_prompt: "row_id: {{id}}. Review: {{review}}"
model: pretend:pretend-1
parameters: {max_tokens: 64}
"""
JOB = """\
job: reviews
task: ../tasks/sentiment.yaml
source: {path: ../../data/reviews.csv, key: id}
reporting_group: "{{customer}}"
limits: {in_flight: 8}
retries: {rate_limited: 2, transient: 1, content: 0, wait_initial: 0.01, wait_max: 0.02}
ledger: ../../data/rowmill.duckdb
output: ../../data/out/reviews.csv
"""
PRICES = """\
"pretend:*": {input: 1.00, output: 2.00}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with a job, and how the command is run in it."""

    folder: Path
    server: Server

    @property
    def job(self) -> Path:
        return self.folder / "configs/jobs/reviews.yaml"

    @property
    def ledger(self) -> Path:
        return self.folder / "data/rowmill.duckdb"

    @property
    def output(self) -> Path:
        return self.folder / "data/out/reviews.csv"

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return file

    def rows(self, number: int) -> Path:
        """Give the job so many rows."""
        lines = (f"{n},customer {n % 3},fine thing number {n}\n" for n in range(1, number + 1))
        return self.write("data/reviews.csv", f"id,customer,review\n{''.join(lines)}")

    def provider(self, **settings: float | str) -> None:
        """Let the server behave like this for the job's account."""
        url = self.server.base_url(**settings)
        self.write(
            "configs/providers.yaml",
            f"pretend: {{protocol: openai, base_url: '{url}', key: PRETEND_KEY}}\n",
        )

    def environment(self, **further: str) -> Mapping[str, str]:
        """The environment of the command: nothing of ours but what a program needs."""
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "TMPDIR", "XDG_STATE_HOME")
            if name in os.environ
        }
        ours = {
            "PYTHONPATH": str(ROOT),
            "PRETEND_KEY": KEY,
            "PREFECT_PROFILES_PATH": NO_PROFILES,
            "TERM": "xterm-256color",
            "COLUMNS": "100",
        }
        return {**kept, **ours, **further}

    def rowmill(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> "Ended":
        """What the command says, and its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "tasks_lib.cli", *map(str, arguments)],
            cwd=self.folder,
            env=env or self.environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def here(self, *arguments: str | Path) -> "Ended":
        """The same within this process, which saves a second of imports."""
        out, err = StringIO(), StringIO()
        code: object = None
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code
        assert isinstance(code, int)
        return Ended(code=code, out=out.getvalue(), err=err.getvalue())

    def begin(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The command while it runs."""
        return subprocess.Popen(
            [sys.executable, "-c", HEEDING_INTERRUPTS, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


# Undoes what a shell does to programs in its background; in the child itself, since nothing of ours should
# run between fork and exec of a process with threads.
HEEDING_INTERRUPTS = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tasks_lib.cli", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server(auth=KEY, det=1) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PRETEND_KEY", KEY)  # of `here`, whose environment is that of the tests
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", NO_PROFILES)
    server.reset()
    return begun(tmp_path, server)


def begun(folder: Path, server: Server) -> Project:
    """A project whose job has twenty rows and was never run."""
    made = Project(folder=folder, server=server)
    made.write("configs/jobs/reviews.yaml", JOB)
    made.write("configs/tasks/sentiment.yaml", TASK)
    made.write("configs/prices.yaml", PRICES)
    made.rows(20)
    made.provider()
    return made
