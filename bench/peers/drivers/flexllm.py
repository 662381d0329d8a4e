"""flexllm: `chat_batch` into a JSONL file, which is what lets it resume.

It knows requests a second, not a minute. Its answers are text: the driver reads their JSON, as its users do.
"""

import asyncio
import json

from flexllm import LLMClient

from bench.peers.drivers.order import (
    MODEL,
    RESPONSE_FORMAT,
    SYSTEM_PROMPT,
    Order,
    driven,
    read_rows,
)


def run(order: Order) -> int:
    """Rows with a good answer."""
    return asyncio.run(_run(order))


async def _run(order: Order) -> int:
    prompts = [
        [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": prompt}]
        for _, prompt in read_rows(order)
    ]
    async with LLMClient(
        provider="openai",
        model=MODEL,
        base_url=order.base_url,
        api_key="bench",
        concurrency_limit=order.in_flight,
        max_qps=order.per_minute / 60 if order.per_minute else 1_000_000,  # by default 1,000
        retry_times=order.tries - 1,
    ) as client:
        batch = await client.chat_batch(
            prompts,
            output_jsonl=str(order.folder / "answers.jsonl"),
            show_progress=False,
            temperature=0,
            max_tokens=64,
            response_format=RESPONSE_FORMAT,
        )
    return sum(result.ok and "row_id" in json.loads(result.content) for result in batch)


if __name__ == "__main__":
    driven("flexllm", run)
