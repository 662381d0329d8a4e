"""What everybody writes first: httpx, `asyncio.gather` and a semaphore; no retry, limit or store."""

import asyncio
import csv

import httpx

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
    free = asyncio.Semaphore(order.in_flight)
    limits = httpx.Limits(max_connections=order.in_flight, max_keepalive_connections=order.in_flight)
    async with httpx.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:

        async def ask(prompt: str) -> str | None:
            async with free:
                response = await client.post(
                    f"{order.base_url}/chat/completions",
                    headers={"Authorization": "Bearer bench"},
                    json={
                        "model": MODEL,
                        "temperature": 0,
                        "max_tokens": 64,
                        "messages": [
                            {"role": "system", "content": SYSTEM_PROMPT},
                            {"role": "user", "content": prompt},
                        ],
                        "response_format": RESPONSE_FORMAT,
                    },
                )
            return response.json()["choices"][0]["message"]["content"] if response.is_success else None

        rows = list(read_rows(order))
        answers = await asyncio.gather(*(ask(prompt) for _, prompt in rows))
    with (order.folder / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            (row_id, answer) for (row_id, _), answer in zip(rows, answers, strict=True)
        )
    return sum(answer is not None for answer in answers)


if __name__ == "__main__":
    driven("httpx", run)
