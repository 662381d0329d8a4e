"""Webhooks out: judged by the Standard Webhooks library and by a receiver that counts."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.parallelserver.settings import Settings
from tests.parallelserver_tests.asking import run_input

SECRET = Settings().wh_secret
AS_TEXT = f"whsec_{base64.b64encode(SECRET.encode()).decode()}"
"""For a library that always decodes: a secret whose key is the other's own bytes."""


@contextmanager
def receiver(*statuses):
    """A URL, and what was sent to it; it answers these statuses first, and 204 then."""
    got, answers = [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(answers.pop(0) if answers else 204)
            self.end_headers()

        def log_message(self, *told):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_port}/hook?a=b", got
        finally:
            served.shutdown()
            thread.join()


def hooked(url):
    return run_input(1, webhook={"url": url, "event_types": ["task_run.status"]})


@pytest.mark.parametrize(
    ("how", "keys"), [("raw", [AS_TEXT]), ("base64", [SECRET]), ("both", [AS_TEXT, SECRET])]
)
def test_a_webhook_is_signed(sdk, server, eventually, how, keys):
    """Its signature holds with the key's form that was asked for, and with no other; its data is the run."""
    with receiver() as (url, got):
        client = sdk(wh_key=how)
        run = client.task_run.create(**hooked(url))
        eventually(lambda: server.stats()["webhooks"].get("taken") == 1)
        ((headers, body),) = got
        for key in (SECRET, AS_TEXT):
            if key in keys:
                told = Webhook(key).verify(body, headers)
                assert (told["type"], told["data"]["run_id"]) == ("task_run.status", run.run_id)
                assert told["data"]["status"] == "completed"
                assert "output" not in told["data"]
            else:
                with pytest.raises(WebhookVerificationError):
                    Webhook(key).verify(body, headers)


def test_a_webhook_of_a_group_s_run_that_failed(sdk, eventually):
    """Failed runs are told too, and those of groups."""
    with receiver() as (url, got):
        client = sdk(fail=1)
        group_id = client.task_group.create().task_group_id
        client.task_group.add_runs(group_id, inputs=[hooked(url)])
        eventually(lambda: len(got) == 1)
        data = json.loads(got[0][1])["data"]
        assert (data["status"], data["taskgroup_id"]) == ("failed", group_id)
        assert data["error"]["message"]


def test_a_webhook_that_is_not_taken_comes_again(sdk, server, eventually):
    """Anything but 2xx brings it back under the same id, until it is given up."""
    with receiver(500, 302, 404) as (url, got):
        sdk(wh_delay_ms=5).task_run.create(**hooked(url))
        eventually(lambda: server.stats()["webhooks"].get("taken") == 1)
        assert len({headers["webhook-id"] for headers, _ in got}) == 1
        assert len(got) == 4
    server.reset()
    sdk(wh_delay_ms=1, wh_tries=3).task_run.create(**hooked(url))
    eventually(lambda: server.stats()["webhooks"].get("given_up") == 1)
    assert server.stats()["webhooks"]["answered_0"] == 3


def test_webhooks_twice_and_never(sdk, server, eventually):
    """A duplicate has the same id; one that is lost is only counted; without event types none is due."""
    with receiver() as (url, got):
        sdk(wh_dup=1).task_run.create(**hooked(url))
        eventually(lambda: server.stats()["webhooks"].get("taken") == 2)
        assert len({headers["webhook-id"] for headers, _ in got}) == 1
        client = sdk(wh_lose=1)
        client.task_run.result(client.task_run.create(**hooked(url)).run_id)
        client.task_run.result(client.task_run.create(**run_input(2, webhook={"url": url})).run_id)
        hooks = server.stats()["webhooks"]
        assert (hooks["due"], hooks["lost"], hooks["sent"]) == (2, 1, 2)


def test_webhooks_that_are_not_to_be_trusted(sdk, server, eventually):
    """A false signature and an old timestamp can be had for a receiver's tests."""
    with receiver() as (url, got):
        sdk(wh_bad=1, wh_key="base64").task_run.create(**hooked(url))
        eventually(lambda: len(got) == 2)
        verified = []
        for headers, body in got:
            try:
                verified.append(Webhook(SECRET).verify(body, headers))
            except WebhookVerificationError:
                continue
        assert len(verified) == 1
        sdk(wh_old_s=600).task_run.create(**hooked(url))
        eventually(lambda: len(got) == 3)
        assert int(got[2][0]["webhook-timestamp"]) < time.time() - 500


def test_nothing_but_loopback_is_called(sdk, server, eventually):
    """A webhook to any other place, or by HTTPS, is never sent anywhere."""
    with receiver() as (url, got):
        client = sdk(wh_tries=1)
        client.task_run.create(**hooked(url.replace("127.0.0.1", "127.1")))  # which leads there, unspelt
        client.task_run.create(**hooked(url.replace("http:", "https:")))
        eventually(lambda: server.stats()["webhooks"].get("given_up") == 2)
        assert got == []
