"""How the pretend task is spoken to; `PretendRuns` is a `RunProtocol`."""

from decimal import Decimal

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.domain.remote import Action, Citation, RemoteRun, Step
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response

KINDS = {
    401: FailureKind.UNAUTHORIZED,
    404: FailureKind.REJECTED,
    422: FailureKind.REJECTED,
    429: FailureKind.RATE_LIMITED,
}


class PretendRuns:
    """Begins a run and looks at it every `every` seconds until it is over."""

    def __init__(self, base_url: str, *, every: float = 2.0) -> None:
        self._url = f"{base_url}/runs"
        self._every = every

    def run(self, plan, choice, *, remote_id=None, lost=False):
        if remote_id is None and lost:
            response = yield self._get(f"?identity={plan.identity}")
            if response.status != 200:
                return _failure(response)
            known = orjson.loads(response.body)["ids"]
            if known:
                remote_id = known[-1]
                yield Accepted(remote_id=remote_id)
        if remote_id is None:
            asked = {"identity": plan.identity, "text": plan.messages[-1].text, "model": choice.model.name}
            response = yield Request(method="POST", url=self._url, headers={}, body=orjson.dumps(asked))
            if response.status != 202:
                return _failure(response)
            remote_id = orjson.loads(response.body)["id"]
            yield Accepted(remote_id=remote_id)
        while True:
            response = yield self._get(f"/{remote_id}")
            if response.status != 200:
                return _failure(response)
            told = orjson.loads(response.body)
            remote = remote_of(told)
            if told["status"] == "failed":
                return Failure(kind=FailureKind.SERVER_ERROR, message=told["error"], remote=remote)
            if told["status"] == "completed":
                return Reply(text=told["text"], http_status=200, remote=remote)
            yield Pause(seconds=self._every)

    def _get(self, what: str) -> Request:
        return Request(method="GET", url=self._url + what, headers={})


def remote_of(told) -> RemoteRun:
    """What a run tells of itself."""
    charged = told.get("credits")
    return RemoteRun(
        remote_id=told["id"],
        status=told["status"],
        charged_credits=None if charged is None else Decimal(charged),
        llm_retries=told.get("llm_retries"),
        used_fallback_model=told.get("used_fallback_model"),
        primary_failure_reason=told.get("primary_failure_reason"),
        fallback_llm_model_id=told.get("fallback_llm_model_id"),
        llm_call_timing=told.get("llm_call_timing"),
        input_processor_timing=told.get("input_processor_timing"),
        warnings=tuple(told.get("warnings", ())),
        citations=tuple(
            Citation(**{**one, "excerpts": tuple(one.get("excerpts", ()))})
            for one in told.get("citations", ())
        ),
        steps=tuple(
            Step(description=one["description"], actions=tuple(Action(**act) for act in one["actions"]))
            for one in told.get("steps", ())
        ),
    )


def _failure(response: Response) -> Failure:
    kind = KINDS.get(response.status, FailureKind.SERVER_ERROR)
    after = response.headers.get("retry-after")
    return Failure(
        kind=kind,
        message=f"status {response.status}",
        http_status=response.status,
        retry_after=None if after is None else float(after),
    )
