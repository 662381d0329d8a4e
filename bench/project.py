"""A job over as many rows as a benchmark asks for, in a folder of its own."""

import csv
from collections.abc import Mapping
from pathlib import Path

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
_REVIEW = "The phone arrived quickly and the battery lasts two days."


def make_project(
    folder: Path,
    *,
    base_url: str,
    rows: int,
    in_flight: int,
    limits: Mapping[str, int] | None = None,
    retries: Mapping[str, float] | None = None,
    output: str | None = "out.parquet",
) -> Path:
    """The path of a job file in `folder`, with task, provider, prices and rows beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "customer", "review"])
        writer.writerows((FIRST_ID + row, f"customer-{row % 7}", _REVIEW) for row in range(rows))
    (folder / "task.yaml").write_text(_TASK)
    (folder / "providers.yaml").write_text(
        f"bench: {{protocol: openai, base_url: '{base_url}', limits: {{in_flight: {in_flight}}}}}\n"
    )
    (folder / "prices.yaml").write_text("bench:gpt-5-mini: {input: 0.25, output: 2, cached_input: 0.025}\n")
    job = folder / "job.yaml"
    job.write_text(
        "task: task.yaml\n"
        "source: {path: rows.csv, key: id}\n"
        'reporting_group: "{{customer}}"\n'
        f"limits: {_flow({'in_flight': in_flight, **(limits or {})})}\n"
        f"retries: {_flow(retries or {})}\n"
        "ledger: ledger.duckdb\n" + (f"output: {output}\n" if output else "")
    )
    return job


def _flow(mapping: Mapping[str, float]) -> str:
    """A mapping as YAML writes it in one line."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in mapping.items()) + "}"
