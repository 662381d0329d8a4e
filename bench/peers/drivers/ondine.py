"""ondine: a pipeline from CSV to CSV with structured output and its checkpoints.

A plain second run starts from nothing; so the driver does what a user would have to do: it looks for a
checkpoint of the run that died, and resumes that. In 2.1.1 there is none after a kill: answers are kept row
by row beside it, but the checkpoint without which they cannot be found is written when a run fails or ends.
"""

import csv
import logging
import re
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import anthropic.resources  # noqa: F401  # else at the first call, and counted as the run
import ondine.adapters.unified_litellm_client  # noqa: F401  # as above: it imports litellm
import openai.resources  # noqa: F401  # as above
from ondine import PipelineBuilder
from pydantic import BaseModel, Field

from bench.peers.drivers.order import MODEL, SYSTEM_PROMPT, Order, driven

_SESSION: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Answer(BaseModel):
    """What is asked for each row."""

    row_id: str
    sentiment: Literal["positive", "negative"]
    score: float = Field(ge=0, le=1)


def run(order: Order) -> int:
    """Rows with a good answer."""
    logging.disable(logging.CRITICAL)
    checkpoints, answers = order.folder / "checkpoints", order.folder / "answers.csv"
    builder = (
        PipelineBuilder.create()
        .from_csv(
            str(order.rows), input_columns=["id", "review"], output_columns=["row_id", "sentiment", "score"]
        )
        .with_prompt("row_id: {id} {review}")
        .with_system_prompt(SYSTEM_PROMPT)
        .with_llm(
            provider="openai_compatible",
            model=MODEL,
            base_url=order.base_url,
            api_key="bench",
            temperature=0,
            max_tokens=64,
        )
        .with_structured_output(Answer, mode="json_schema")
        .with_batch_size(1)
        .with_concurrency(order.in_flight)
        .with_max_retries(order.tries - 1)
        .with_error_policy("skip")
        .with_checkpoint_dir(str(checkpoints))
        .with_output(str(answers), format="csv")
        .with_progress_mode("none")
    )
    if order.per_minute:
        builder = builder.with_rate_limit(order.per_minute)
    builder.build().execute(resume_from=_died(checkpoints))
    with answers.open(newline="", encoding="utf-8") as file:
        return sum(row["sentiment"] in {"positive", "negative"} for row in csv.DictReader(file))


def _died(checkpoints: Path) -> UUID | None:
    """The session of the newest checkpoint that was left behind."""
    found = sorted(checkpoints.glob("*"), key=lambda path: path.stat().st_mtime)
    sessions = [_SESSION.search(path.name) for path in found]
    return next((UUID(session[0]) for session in reversed(sessions) if session), None)


if __name__ == "__main__":
    driven("ondine", run)
