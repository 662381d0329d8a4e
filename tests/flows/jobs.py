"""Small jobs for the loopback server, as files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROWS = 60
FAULTS = {"e500": 0.15, "e400": 0.05, "e_badcontent": 0.05, "det": 1, "seed": 7}
"""Drawn alike for the same row and attempt: some rows are tried again, some fail, the same in every run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """A job file, and the ledger and output that it names."""

    path: Path
    ledger: Path
    output: Path


def write_job(
    folder: Path,
    *,
    base_url: str,
    rows: int = ROWS,
    in_flight: int = 8,
    more: Mapping[str, object] | None = None,
) -> JobFiles:
    """A job over a CSV of so many rows, for a model at a base URL; `more` are further keys of the job."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f'{number},"row_id={number} and, so on",{"acme" if number % 3 else "umbrella"}'
        for number in range(1, rows + 1)
    ]
    (folder / "rows.csv").write_text("\n".join(["id,text,customer", *lines]) + "\n")
    schema = {"type": "object", "properties": {"row_id": {"type": "string"}}, "required": ["row_id"]}
    task = {
        "task": "echo",
        "output": {"modality": "json", "schema": schema},
        "revisions": [{"tag": "v1", "user_prompt": "{{text}}", "model": "loopback:tiny"}],
    }
    providers = {"loopback": {"base_url": base_url, "free": True, "limits": {"in_flight": in_flight}}}
    job = {
        "job": "echo",
        "task": "task.yaml",
        "source": {"path": "rows.csv", "key": "id"},
        "reporting_group": "{{customer}}",
        "retries": {"transient": 1, "content": 1, "wait_initial": 0.01, "wait_max": 0.02},
        "ledger": "ledger.duckdb",
        "output": "out.csv",
        **(more or {}),
    }
    for name, document in (("task", task), ("providers", providers), ("job", job)):
        (folder / f"{name}.yaml").write_text(json.dumps(document))  # JSON is YAML
    return JobFiles(path=folder / "job.yaml", ledger=folder / "ledger.duckdb", output=folder / "out.csv")
