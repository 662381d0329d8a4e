"""A run that some rows make die: `python -m tests.crash.killing FOLDER HOW ROW … [--retry-poisoned]`.

HOW is `kill` (SIGKILL, as the system does to a process that takes all memory) or `raise` (an error that
nobody foresaw). Each call is written to `calls` in the folder before anything happens.
"""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import httpx
import orjson

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options


def main() -> None:
    """Run the job of the folder, as far as it comes, and print its summary."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    retry_poisoned = "--retry-poisoned" in sys.argv
    deadly = {int(word) for word in sys.argv[3:] if word.isdigit()}
    calls = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def answer(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)["messages"][-1]["content"]
        row = int(re.search(r"row_id: (\d+)", asked)[1])  # type: ignore[index]  # the prompt has one
        os.write(calls, f"{row}\n".encode())
        await asyncio.sleep(0.005)  # others are under way, too
        if row in deadly:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError(f"row {row} is too much")
        said = orjson.dumps({"row_id": str(row), "sentiment": "positive", "score": 0.5}).decode()
        message = {"role": "assistant", "content": said}
        return httpx.Response(
            200,
            json={
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5},
            },
        )

    summary = asyncio.run(
        run_batch(
            load_setup(folder / "job.yaml", environment=Environment.of({}, user="ada")),
            options=Options(retry_poisoned=retry_poisoned),
            transport=httpx.MockTransport(answer),
        )
    )
    print(json.dumps(summary.as_json()))  # noqa: T201  # what it is there for


if __name__ == "__main__":
    main()
