"""bespokelabs-curator: an LLM class over a dataset, with a working directory, which is what lets it resume.

It sends one call of its own at each start, to read the limits from its headers. It is told limits that bind
nobody, or else it falls to limits of its own.
"""

import logging
from typing import Literal

import bespokelabs.curator.request_processor.online.openai_online_request_processor  # noqa: F401  # else at the first call
import litellm  # noqa: F401  # as above
import openai.resources  # noqa: F401  # as above
from bespokelabs import curator
from pydantic import BaseModel, Field

from bench.peers.drivers.order import MODEL, SYSTEM_PROMPT, Order, driven, read_rows


class Answer(BaseModel):
    """What is asked for each row."""

    row_id: str
    sentiment: Literal["positive", "negative"]
    score: float = Field(ge=0, le=1)


class Classify(curator.LLM):
    """The task."""

    response_format = Answer

    def prompt(self, row):  # noqa: ANN001, ANN201  # as its documentation writes it
        """The user prompt."""
        return row["prompt"]

    def parse(self, row, answer):  # noqa: ANN001, ANN201
        """The row of the result."""
        return {"id": row["id"], "sentiment": answer.sentiment, "score": answer.score}


def run(order: Order) -> int:
    """Rows with a good answer."""
    logging.disable(logging.CRITICAL)
    classify = Classify(
        model_name=MODEL,
        response_format=Answer,
        backend="openai",
        system_prompt=SYSTEM_PROMPT,
        generation_params={"temperature": 0, "max_tokens": 64},
        backend_params={
            "base_url": order.base_url,
            "api_key": "bench",
            "max_requests_per_minute": order.per_minute or 10_000_000,
            "max_tokens_per_minute": 1_000_000_000,
            "max_concurrent_requests": order.in_flight,
            "max_retries": order.tries - 1,
            "require_all_responses": False,
        },
    )
    rows = [{"id": row_id, "prompt": prompt} for row_id, prompt in read_rows(order)]
    done = classify(rows, working_dir=str(order.folder / "curator")).dataset
    return sum(one["sentiment"] in {"positive", "negative"} for one in done)


if __name__ == "__main__":
    driven("bespokelabs-curator", run)
