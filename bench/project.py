"""A job over as many rows as a benchmark asks for, in a folder of its own."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

_TASK = """\
task: bench
output:
  schema:
    type: object
    properties:
      row_id: {type: string}
      sentiment: {type: string, enum: [positive, negative]}
      score: {type: number, minimum: 0, maximum: 1}
    required: [row_id, sentiment, score]
    additionalProperties: false
revisions:
  - tag: v1
    system_prompt: You classify product reviews.
    user_prompt: "row_id: {{id}} {{review}}"
    model: bench:gpt-5-mini
    parameters: {temperature: 0, max_tokens: 64}
"""
FIRST_ID = 1_000_000  # so that all prompts have the same length, and the same number of tokens
_GROUP = 100_000  # rows of one row group of a Parquet file
_REVIEW = "The phone arrived quickly and the battery lasts two days."


def make_project(
    folder: Path,
    *,
    base_url: str,
    rows: int,
    in_flight: int | None,  # None: as many as turn out to go through
    limits: Mapping[str, float] | None = None,
    retries: Mapping[str, float] | None = None,
    output: str | None = "out.parquet",
    source: Literal["rows.csv", "rows.parquet"] = "rows.csv",
) -> Path:
    """The path of a job file in `folder`, with task, provider, prices and rows beside it."""
    at_once = {} if in_flight is None else {"in_flight": in_flight}
    folder.mkdir(parents=True, exist_ok=True)
    if source == "rows.parquet":
        _write_parquet(folder / source, rows=rows)
    else:
        _write_csv(folder / source, rows=rows)
    (folder / "task.yaml").write_text(_TASK)
    (folder / "providers.yaml").write_text(
        f"bench: {{protocol: openai, base_url: '{base_url}', limits: {_flow(at_once)}}}\n"
    )
    (folder / "prices.yaml").write_text("bench:gpt-5-mini: {input: 0.25, output: 2, cached_input: 0.025}\n")
    job = folder / "job.yaml"
    job.write_text(
        "task: task.yaml\n"
        f"source: {{path: {source}, key: id}}\n"
        'reporting_group: "{{customer}}"\n'
        f"limits: {_flow({**at_once, **(limits or {})})}\n"
        f"retries: {_flow(retries or {})}\n"
        "ledger: ledger.duckdb\n" + (f"output: {output}\n" if output else "")
    )
    return job


def _write_csv(path: Path, *, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "customer", "review"])
        writer.writerows((FIRST_ID + row, f"customer-{row % 7}", _REVIEW) for row in range(rows))


def _write_parquet(path: Path, *, rows: int) -> None:
    types: dict[str, pa.DataType] = {"id": pa.int64(), "customer": pa.string(), "review": pa.string()}
    schema = pa.schema(types)
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, _GROUP):
            group = range(first, min(first + _GROUP, rows))
            columns: dict[str, Sequence[int | str]] = {
                "id": [FIRST_ID + row for row in group],
                "customer": [f"customer-{row % 7}" for row in group],
                "review": [_REVIEW] * len(group),
            }
            writer.write_table(pa.table(columns, schema=schema))


def _flow(mapping: Mapping[str, float]) -> str:
    """A mapping as YAML writes it in one line."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in mapping.items()) + "}"
