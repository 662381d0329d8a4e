"""accrue: a pipeline of one LLM step over a DataFrame, with its cache, which is what lets it resume.

It builds the prompt itself, around the row, so that its requests are longer than the others'. It has no limit
of requests a minute.
"""

import logging

import openai.resources  # noqa: F401  # else at the first call, and counted as the run
import pandas as pd
from accrue import EnrichmentConfig, LLMStep, Pipeline

from bench.peers.drivers.order import MODEL, SYSTEM_PROMPT, Order, driven, read_rows

FIELDS = {
    "row_id": {"prompt": "The id of the row.", "type": "String"},
    "sentiment": {"prompt": "The sentiment.", "type": "String", "enum": ["positive", "negative"]},
    "score": {"prompt": "How sure this is.", "type": "Number"},
}


def run(order: Order) -> int:
    """Rows with a good answer."""
    logging.disable(logging.CRITICAL)
    step = LLMStep(
        "answer",
        fields=FIELDS,
        model=MODEL,
        temperature=0,
        max_tokens=64,
        system_prompt=SYSTEM_PROMPT,
        structured_outputs=True,
        base_url=order.base_url,
        api_key="bench",
    )
    config = EnrichmentConfig(
        max_workers=order.in_flight,
        max_retries=order.tries - 1,
        enable_progress_bar=False,
        cache_dir=str(order.folder / "cache"),
        checkpoint_dir=str(order.folder / "checkpoints"),
    )
    rows = pd.DataFrame({"text": [prompt for _, prompt in read_rows(order)]})
    done = Pipeline([step]).run(rows, config=config).data
    done.to_csv(order.folder / "answers.csv", index=False)
    return int(done["sentiment"].isin(["positive", "negative"]).sum())


if __name__ == "__main__":
    driven("accrue", run)
