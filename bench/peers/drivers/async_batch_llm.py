"""async-batch-llm: `process_prompts` over its SQLite store, which is what lets it resume.

The default cooldown after a 429 is 300 s, of which Retry-After is only the floor, and then a slow start;
unless the order wants it as it comes, it is given a cooldown of 1 s and no slow start. By
default its first minute may see twice its limit, too; it is given a burst of a second.
"""

import asyncio
import logging
from typing import Literal

import openai.resources  # noqa: F401  # else at the first call, and counted as the run
from async_batch_llm import (
    ArtifactIdentity,
    ProcessorConfig,
    RateLimitConfig,
    ResumePolicy,
    RetryConfig,
    SqliteArtifactStore,
    llm,
    process_prompts,
)
from async_batch_llm.parsing import pydantic_json_parser
from pydantic import BaseModel, Field

from bench.peers.drivers.order import (
    MODEL,
    RESPONSE_FORMAT,
    SYSTEM_PROMPT,
    Order,
    driven,
    read_rows,
)


class Answer(BaseModel):
    """What is asked for each row."""

    row_id: str
    sentiment: Literal["positive", "negative"]
    score: float = Field(ge=0, le=1)


def run(order: Order) -> int:
    """Rows with a good answer."""
    logging.disable(logging.CRITICAL)  # a line of log a row would be ours, not its cost
    strategy = llm(
        f"openai-compatible:{MODEL}",
        response_parser=pydantic_json_parser(Answer),
        temperature=0,
        generation_config={"max_tokens": 64, "response_format": RESPONSE_FORMAT},
        base_url=order.base_url,
        api_key="bench",
        max_connections=order.in_flight,
        system_instruction=SYSTEM_PROMPT,
    )
    quick = RateLimitConfig(cooldown_seconds=1, slow_start_items=0, backoff_multiplier=1)
    config = ProcessorConfig(
        concurrency=order.in_flight,
        max_requests_per_minute=order.per_minute,
        quota_burst_seconds=1 if order.per_minute and not order.as_it_comes else None,
        retry=RetryConfig(max_attempts=order.tries),
        rate_limit=RateLimitConfig() if order.as_it_comes else quick,
    )
    identity = ArtifactIdentity(provider="bench", model=MODEL, prompt_version="1")
    batch = asyncio.run(
        process_prompts(
            strategy,
            list(read_rows(order)),
            config=config,
            artifact_store=SqliteArtifactStore(order.folder / "answers.sqlite", identity=identity),
            resume=ResumePolicy.REUSE_SUCCESSES,
        )
    )
    return sum(result.success for result in batch.results)


if __name__ == "__main__":
    driven("async-batch-llm", run)
