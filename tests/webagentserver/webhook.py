"""The one unsigned POST that tells of a run's end, and what is noted of it."""

from typing import Any

import httpx

from tests.webagentserver.store import Id, Run


async def post_webhook(run: Run[Id], told: dict[str, Any]) -> None:
    """Tell the run's URL, once, and note what became of it; there is no second try."""
    assert run.webhook_url, "only a run with a URL tells of its end"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(run.webhook_url, json=told)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        run.webhook_result_success = False
        run.webhook_result_status_code = 500
        run.webhook_result_message = f"Error sending webhook: {error}"
        return
    run.webhook_result_success = answer.status_code < 400
    run.webhook_result_status_code = answer.status_code
    run.webhook_result_message = answer.text
