"""Prefect's API as any program sees it: JSON over HTTP."""

import json
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_OPENER = build_opener(ProxyHandler({}))
Json = dict[str, Any]


class PrefectApi:
    """A Prefect server, asked without Prefect's own client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def flow_run(self, name: str) -> Json:
        """The one flow run of this name."""
        (found,) = self._post("/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
        return found

    def flow_runs_with(self, job: str) -> list[Json]:
        """The flow runs of a job file."""
        found: list[Json] = self._post("/flow_runs/filter", {"sort": "START_TIME_DESC"})
        return [run for run in found if run["parameters"].get("job") == job]

    def table(self, artifact: Json) -> list[Json]:
        """The rows of a table artifact."""
        rows: list[Json] = json.loads(artifact["data"])
        return rows

    def by_id(self, flow_run_id: str) -> Json:
        """A flow run by its id."""
        found: Json = self._ask("GET", f"/flow_runs/{flow_run_id}", None)
        return found

    def task_runs(self, flow_run_id: str, *, at_least: int, within: float = 20) -> list[Json]:
        """The task runs of a flow run; the server takes a while to record them."""
        wanted = {"task_runs": {"flow_run_id": {"any_": [flow_run_id]}}, "sort": "NAME_ASC"}
        deadline = time.monotonic() + within
        while True:
            found = self._post("/task_runs/filter", wanted)
            done = [run for run in found if run["end_time"]]
            if len(done) >= at_least or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def artifacts(self, flow_run_id: str) -> dict[str, Json]:
        """The artifacts of a flow run by key."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
        return {one["key"]: one for one in self._post("/artifacts/filter", wanted)}

    def deployment(self, name: str) -> Json:
        """A deployment by `flow/name`."""
        found: Json = self._ask("GET", f"/deployments/name/{name}", None)
        return found

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        try:
            self._ask("GET", path, None)
        except HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            return False
        return True

    def run_deployment(self, deployment: Json, parameters: Json) -> str:
        """The id of a new flow run, which a worker will find."""
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED", "name": "Scheduled"}}
        made: Json = self._post(f"/deployments/{deployment['id']}/create_flow_run", asked)
        return str(made["id"])

    def cancel(self, flow_run_id: str) -> None:
        """What the UI's button does."""
        self._post(
            f"/flow_runs/{flow_run_id}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        )

    def take_for_dead(self, flow_run_id: str) -> None:
        """What the automation does for a flow run whose end the server has lost."""
        state = {"type": "SCHEDULED", "name": "AfterCrash"}
        self._post(f"/flow_runs/{flow_run_id}/set_state", {"state": state, "force": True})

    def resume(self, flow_run_id: str, given: Json) -> Json:
        """What the form in the UI does."""
        found: Json = self._post(f"/flow_runs/{flow_run_id}/resume", {"run_input": given})
        return found

    def states(self, flow_run_id: str) -> list[str]:
        """The names of all states that a flow run has had."""
        found = self._ask("GET", f"/flow_run_states/?flow_run_id={flow_run_id}", None)
        return [state["name"] for state in found]

    def events(self, flow_run_id: str) -> dict[str, Json]:
        """The events of rowmill's that are related to a flow run, by name."""
        wanted = {
            "filter": {
                "event": {"prefix": ["rowmill."]},
                "related": {"id": [f"prefect.flow-run.{flow_run_id}"]},
            }
        }
        return {one["event"]: one for one in self._post("/events/filter", wanted)["events"]}

    def automations(self) -> dict[str, Json]:
        """All automations by name."""
        return {one["name"]: one for one in self._post("/automations/filter", {})}

    def logs(self, flow_run_id: str) -> list[Json]:
        """The lines of a flow run's log."""
        found: list[Json] = self._post("/logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run_id]}}})
        return found

    def all_of(self, runs: list[Json]) -> str:
        """All that the server tells of flow runs: states, parameters, task runs, logs, artifacts, events."""
        told = [
            (
                self.by_id(run["id"]),
                self._ask("GET", f"/flow_run_states/?flow_run_id={run['id']}", None),
                self.task_runs(run["id"], at_least=0),
                self.logs(run["id"]),
                self.artifacts(run["id"]),
                self.events(run["id"]),
            )
            for run in runs
        ]
        return json.dumps(told)

    def save_secret(self, name: str, value: str) -> None:
        """A Secret block, as the UI makes one."""
        kind = self._ask("GET", "/block_types/slug/secret", None)["id"]
        wanted = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
        (schema, *_) = self._post("/block_schemas/filter", wanted)
        self._post(
            "/block_documents/",
            {
                "name": name,
                "data": {"value": value},
                "block_type_id": kind,
                "block_schema_id": schema["id"],
            },
        )

    def put_automation(self, automation: Json) -> str:
        """The id of a new automation."""
        return str(self._post("/automations/", automation)["id"])

    def pause_schedules(self, deployment: Json) -> None:
        """No further run is begun."""
        self._post(f"/deployments/{deployment['id']}/pause_deployment", {})

    def wait_for_end_as(self, flow_run_id: str, names: set[str], *, within: float) -> Json:
        """The flow run once its state has one of these names."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = self.by_id(flow_run_id)
            if found["state_name"] in names:
                return found
            time.sleep(0.5)
        raise AssertionError(f"still {found['state_name']}: {found['state']}")

    def wait_for_end(self, flow_run_id: str, *, within: float) -> Json:
        """The flow run once it is over."""
        return self.wait_for_state(
            flow_run_id, {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}, within=within
        )

    def wait_for_state(self, flow_run_id: str, types: set[str], *, within: float) -> Json:
        """The flow run once its state is of one of these types."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = self.by_id(flow_run_id)
            if found["state_type"] in types:
                return found
            time.sleep(0.2)
        raise AssertionError(f"still {found['state_type']}: {found['state']}")

    def _post(self, path: str, body: Json) -> Any:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: Json | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(  # noqa: S310  # the address of the server that the test started
            self.url + path, data=data, method=method, headers={"content-type": "application/json"}
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with _OPENER.open(request, timeout=60) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except HTTPError as error:
                # A server on SQLite is now and then too busy with its own records, and says so with a 503.
                if error.code != 503 or time.monotonic() > deadline:
                    raise
                error.close()
            time.sleep(0.2)
