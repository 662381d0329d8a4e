"""Rightbrain's task runs: what is asked, and what is made of the record that comes."""

from base64 import b64encode
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.output import Media, Modality, Output, Reply
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.protocol import Request, RunProtocol
from tasks_lib.providers.rightbrain import MOST_FILE_BYTES, Rightbrain
from tasks_lib.providers.rightbrain_asking import cautions
from tests.providers.rightbrain_rig import (
    BASE,
    IMAGE,
    JSON,
    KEY,
    ORG,
    PDF,
    PROJECT,
    REVISION,
    RUN,
    RUNS,
    TASK,
    TEXT,
    a_plan,
    had,
    ids,
    protocol,
    record,
    requests,
    said,
    waits,
)


def asked(**plan: Any) -> tuple[Request, dict[str, Any]]:
    """The request that begins a row's run, and its body."""
    steps, _ = had(a_plan(**plan), said(record()))
    (request,) = steps
    assert isinstance(request, Request)
    return request, orjson.loads(request.body)


def query(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query)


def replied(told: dict[str, Any], **plan: Any) -> Reply:
    _, outcome = had(a_plan(**plan), said(told))
    assert isinstance(outcome, Reply)
    return outcome


def failed(*responses: Any, **plan: Any) -> Failure:
    _, outcome = had(a_plan(**plan), *responses)
    assert isinstance(outcome, Failure)
    return outcome


def test_r01_r05_a_task_is_run_in_its_project_with_a_bearer_token() -> None:
    """R01, R02, R03, R04: the token goes into the header alone, and the three ids into the path."""
    request, _ = asked()
    assert (request.method, request.url) == ("POST", RUNS)
    assert f"/org/{ORG}/project/{PROJECT}/task/{TASK}/run" in RUNS
    assert request.headers["authorization"] == f"Bearer {KEY.reveal()}"
    assert request.headers["content-type"] == "application/json"
    assert isinstance(protocol(), RunProtocol)


def test_ids_are_sent_in_small_letters() -> None:
    """R04: a UUID may be written in either."""
    request, _ = asked(model=TASK.upper())
    assert request.url == RUNS


@pytest.mark.parametrize("hosted", [{}, {"hosted": None}])
def test_r02_r03_an_account_without_its_ids_is_no_account(hosted: dict[str, Any]) -> None:
    """R02, R03: before any call."""
    account = Provider(name="rb", protocol="rightbrain", base_url=BASE, **hosted)
    with pytest.raises(ValueError, match="provider 'rb' needs org_id and project_id"):
        Rightbrain(account, KEY)


def test_a_key_that_no_header_can_hold_is_named_and_not_shown() -> None:
    """R01: the error of a header would show it."""
    with pytest.raises(ValueError, match="RB_API_KEY") as caught:
        Rightbrain(
            Provider(name="rb", protocol="rightbrain", base_url=BASE), Secret("RB_API_KEY", "sé\ncret")
        )
    assert "cret" not in str(caught.value)


def test_r11_r12_values_keep_the_types_of_json() -> None:
    """R11, R12: they go as task_input, and nothing goes under another name."""
    values = {"text": "Hëllo {{name}}", "n": 3, "x": 0.5, "yes": True, "none": None, "list": [1, {"a": []}]}
    _, body = asked(submitted=values)
    assert body == {"task_input": values, "task_reference": "r1"}


def test_r14_placeholders_in_values_are_sent_as_they_are() -> None:
    """R14: they are substituted there, once."""
    _, body = asked(submitted={"text": "{{text}} {other}"})
    assert body["task_input"] == {"text": "{{text}} {other}"}


def test_r15_r16_r22_files_go_as_base64_with_their_names() -> None:
    """R15, R16, R22: and there is no such field where a row has none."""
    files = (
        Attachment(name="a.png", mime_type="image/png", content=b"\x89PNG"),
        Attachment(name="b.pdf", mime_type="application/pdf", content=b"%PDF-"),
    )
    _, body = asked(files=files)
    assert body["task_files"] == [
        {"filename": "a.png", "content": b64encode(b"\x89PNG").decode()},
        {"filename": "b.pdf", "content": b64encode(b"%PDF-").decode()},
    ]


def test_r09_r25_r31_the_reporting_group_goes_by_its_name() -> None:
    """R09, R25, R31: with whatever signs it has, and not at all where there is none."""
    request, _ = asked(group="Müller & Söhne/exp-1?")
    assert query(request) == {"reporting_group": ["Müller & Söhne/exp-1?"]}
    assert query(asked()[0]) == {}


def test_r06_r28_a_revision_is_pinned_by_its_id() -> None:
    """R06, R28: parameters name the task's revisions there; our own revisions are told nothing of."""
    request, _ = asked(revision_id=REVISION.upper())
    assert query(request) == {"revision_id": [REVISION]}


def test_r07_a_revision_is_pinned_by_its_tag() -> None:
    """R07: which is resolved there; the record tells the revision that it was."""
    assert query(asked(revision_tag="production")[0]) == {"revision_tag": ["production"]}


def test_r08_r18_r29_no_revision_is_asked_for_by_itself() -> None:
    """R08, R18, R29: it is chosen there by traffic weight, and told."""
    request, _ = asked()
    assert query(request) == {}
    remote = replied(record()).remote
    assert remote is not None
    assert remote.task_revision_id == REVISION


def test_r10_r24_r30_the_fallback_model_is_used_by_wish() -> None:
    """R10, R24, R30: true asks for it, and false is the default."""
    assert query(asked(use_fallback_model=True)[0]) == {"use_fallback_model": ["true"]}
    assert query(asked(use_fallback_model=False)[0]) == {}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"revison_id": REVISION}, "there is no parameter revison_id. Did you mean revision_id?"),
        ({"revision_id": "v1"}, "revision_id must be the id of one of the task's revisions there"),
        ({"revision_tag": ""}, "revision_tag must be the tag of one of the task's revisions there"),
        ({"revision_id": REVISION, "revision_tag": "a"}, "revision_id and revision_tag exclude each other"),
        ({"use_fallback_model": "yes"}, "use_fallback_model must be true or false"),
        ({"model": "7"}, "'7' is no id of a task at Rightbrain, which is a UUID"),
    ],
)
def test_6_3_what_cannot_be_asked_is_refused_without_a_call(parameters: dict[str, Any], told: str) -> None:
    """6.3, R53: a wrong id, and a revision that is named twice."""
    failure = failed(**parameters)
    assert failure.kind is FailureKind.REJECTED
    assert told in failure.message


def test_parameters_of_models_are_left_out_and_told() -> None:
    """R12: the task there has its own, and a job is to run with nothing but its model line changed."""
    request, body = asked(temperature=0, max_tokens=9)
    assert (request.url, set(body)) == (RUNS, {"task_input", "task_reference"})
    assert cautions({"temperature": 0, "max_tokens": 9, "revision_tag": "v1"}, JSON) == [
        "Rightbrain has no parameters temperature, max_tokens: they are not sent"
    ]
    assert cautions({"revision_tag": "v1"}, JSON) == []


def test_6_10_a_context_is_told_where_it_is_configured() -> None:
    """6.10, R50: in the body, where a published example has it."""
    assert asked(context_id="conversation-1")[1]["context_id"] == "conversation-1"
    assert "context_id" not in asked()[1]


def test_r32_r49_a_record_is_read_whole() -> None:
    """R21, R32, R34, R35, R36, R38, R39, R40, R43, R44, R45, R46, R47, R48, R49, R50: field by field."""
    told = record(
        llm_retries=2,
        used_fallback_model=True,
        primary_failure_reason="rate_limit: overloaded",
        fallback_llm_model_id=PROJECT,
        user_id=ORG,
        reporting_group_id=PROJECT,
        reporting_group={"id": PROJECT, "name": "acme"},
        context_id="c1",
        model_name="spare-1",
    )
    reply = replied(told)
    remote = reply.remote
    assert remote is not None
    assert (remote.remote_id, remote.task_id, remote.task_revision_id) == (RUN, TASK, REVISION)
    assert (remote.status, remote.is_over) == ("success", True)
    assert remote.charged_credits == Decimal("1.00")
    assert str(remote.charged_credits) == "1.00"
    assert (remote.llm_retries, remote.llm_call_timing, remote.input_processor_timing) == (
        2,
        1.346,
        0.00015282,
    )
    assert (remote.used_fallback_model, remote.fallback_llm_model_id) == (True, PROJECT)
    assert remote.primary_failure_reason == "rate_limit: overloaded"
    assert remote.run_data == {"submitted": {"text": "Hello"}}
    assert reply.model == "spare-1"
    named = {
        *(
            "id",
            "task_id",
            "task_revision_id",
            "charged_credits",
            "llm_retries",
            "llm_call_timing",
            "run_data",
        ),
        *("input_processor_timing", "used_fallback_model", "primary_failure_reason", "is_error", "response"),
        "fallback_llm_model_id",
    }
    assert remote.further == {name: value for name, value in told.items() if name not in named}
    assert {"created", "reference", "context_id", "user_id", "reporting_group"} <= remote.further.keys()


def test_r37_tokens_are_those_of_the_run() -> None:
    """R37: and the total, should it be another sum, is kept as it is told."""
    reply = replied(record(total_tokens=151))
    assert reply.usage == Usage(input_tokens=120, output_tokens=30)
    assert reply.remote is not None
    assert reply.remote.further["total_tokens"] == 151


@pytest.mark.parametrize("nonsense", [None, -1, "12", True, 1.5, 10**10])
def test_tokens_that_are_none_are_unknown(nonsense: Any) -> None:
    """R37: and never 0."""
    assert replied(record(input_tokens=nonsense)).usage is None


@pytest.mark.parametrize(
    ("told", "charged"),
    [
        ("1.00", Decimal("1.00")),
        ("0.1234567890123456789", Decimal("0.1234567890123456789")),
        ("+.5", Decimal("0.5")),
        ("007", Decimal(7)),
        (2, Decimal(2)),
        (0.1, Decimal("0.1")),
        (None, None),
        ("", None),
        ("NaN", None),
        ("1e9", None),
        (True, None),
    ],
)
def test_r40_credits_are_exact(told: Any, charged: Decimal | None) -> None:
    """R40: null is unknown, and never 0."""
    remote = replied(record(charged_credits=told)).remote
    assert remote is not None
    assert remote.charged_credits == charged


def test_6_14_null_is_as_good_as_the_default() -> None:
    """6.14, R42, R43, R44: of is_error, llm_retries, used_fallback_model and files."""
    nothing = dict.fromkeys(("is_error", "llm_retries", "used_fallback_model", "files"))
    remote = replied(record(**nothing)).remote
    assert remote is not None
    assert (remote.status, remote.llm_retries, remote.used_fallback_model) == ("success", 0, False)


def test_an_older_record_is_read_too() -> None:
    """R38, R39: what is not told is unknown."""
    old = {"id": RUN, "response": "words", "task_id": TASK}
    reply = replied(old, output=TEXT)
    assert (reply.text, reply.usage, reply.model) == ("words", None, None)
    assert reply.remote is not None
    assert (reply.remote.llm_call_timing, reply.remote.charged_credits, reply.remote.run_data) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("response", "text"),
    [({"label": "good", "n": [1]}, '{"label":"good","n":[1]}'), ("words", "words"), ([1], "[1]")],
)
def test_r33_an_answer_is_text_or_json(response: Any, text: str) -> None:
    """R20, R33: whichever it is, it is judged as text."""
    assert replied(record(response=response)).text == text


def test_r42_r52_a_200_may_tell_of_an_error() -> None:
    """R21, R42, R52: the run failed, and its record, tokens and credits are kept."""
    told = record(is_error=True, response="Task execution failed: no such thing", charged_credits="0.50")
    failure = failed(said(told))
    assert failure.kind is FailureKind.RUN_FAILED
    assert failure.message == f"run {RUN} failed: Task execution failed: no such thing"
    assert (failure.usage, failure.maybe_billed) == (Usage(input_tokens=120, output_tokens=30), False)
    assert failure.text == "Task execution failed: no such thing"
    assert failure.remote is not None
    assert (failure.remote.status, failure.remote.charged_credits) == ("error", Decimal("0.50"))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("rate_limit: the primary model is overloaded", FailureKind.RATE_LIMITED),
        ("Request timed out after 60 s", FailureKind.TIMEOUT),
        ("content_filter", FailureKind.REFUSED),
        ("max_tokens reached", FailureKind.LENGTH),
        ("invalid_output: label is missing", FailureKind.INVALID_OUTPUT),
        ("http_500", FailureKind.RUN_FAILED),
        (None, FailureKind.RUN_FAILED),
    ],
)
def test_r45_the_reason_tells_the_kind(reason: str | None, kind: FailureKind) -> None:
    """6.8, R45: where it can be told; of any other the model is not asked again, since it was charged."""
    failure = failed(said(record(is_error=True, response="It failed.", primary_failure_reason=reason)))
    assert failure.kind is kind
    assert FailureKind.RUN_FAILED.budget is None
    assert FailureKind.RUN_FAILED.worth_another_model


def test_r23_a_fallback_there_is_an_answer() -> None:
    """R23: a primary that failed and a fallback that answered make a good run."""
    reply = replied(record(used_fallback_model=True, primary_failure_reason="rate_limit"))
    assert reply.remote is not None
    assert (reply.remote.used_fallback_model, reply.remote.primary_failure_reason) == (True, "rate_limit")


def file_told(**told: Any) -> dict[str, Any]:
    """A record whose answer is a file."""
    name = f"/org/{ORG}/project/{PROJECT}/task/{TASK}/run/{RUN}/file/a.png"
    answer = {"image_name": "a.png", "content_type": "image/png", "download_url": name, **told}
    files = [{"stored_filename": "a.png", "download_url": name, "size_bytes": told.pop("size", 7)}]
    return record(response=answer, files=files)


def test_r19_r27_a_file_is_fetched_from_the_api() -> None:
    """R19, R27, R41: in the same exchange, with our token, after the run's id is durable."""
    steps, reply = had(a_plan(output=IMAGE), said(file_told()), said(b"\x89PNG..."))
    assert isinstance(reply, Reply)
    assert requests(steps) == ["POST ", f"GET /{RUN}/file/a.png"]
    assert ids(steps) == [RUN]
    assert steps.index(next(step for step in steps if not isinstance(step, Request))) == 1
    fetch = steps[-1]
    assert isinstance(fetch, Request)
    assert fetch.headers["authorization"] == f"Bearer {KEY.reveal()}"
    assert reply.media == Media(content=b"\x89PNG...", mime_type="image/png")
    assert reply.usage == Usage(input_tokens=120, output_tokens=30)


def test_r19_a_table_that_is_a_file_becomes_text() -> None:
    """R19: so that its rows can be read."""
    output = Output.of(Modality.CSV)
    _, reply = had(a_plan(output=output), said(file_told()), said("\ufeffa,b\r\n1,ü\r\n".encode()))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.media) == ("a,b\r\n1,ü\r\n", None)
    assert replied(record(response="a,b\r\n1,2\r\n"), output=output).text == "a,b\r\n1,2\r\n"


def test_an_answer_in_words_is_no_file() -> None:
    """R19: nothing is fetched, and the words are judged; and a link within JSON is only that."""
    assert replied(record(response="I cannot draw."), output=IMAGE).text == "I cannot draw."
    assert replied(file_told(), output=JSON).media is None


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.com/a.png",
        "//evil.example.com/a.png",
        "http://app.example.com/api/v1/a.png",
        "https://app.example.com/api/v1x/a.png",
        "https://app.example.com@evil.example.com/api/v1/a.png",
        "/../../admin",
        "/org/%2e%2e/%2E%2E/admin",
        "/org/..%2fadmin",
        "/a b",
        "/a\nb",
        "/a\\..\\b",
        "/a#b",
        "file:///etc/passwd",
    ],
)
def test_a_file_elsewhere_is_not_fetched(address: str) -> None:
    """R27: our token goes nowhere but below the API's own address."""
    steps, failure = had(a_plan(output=IMAGE), said(file_told(download_url=address)))
    assert isinstance(failure, Failure)
    assert requests(steps) == ["POST "]
    assert failure.kind is FailureKind.RUN_FAILED
    assert failure.remote is not None
    assert failure.remote.is_over


@pytest.mark.parametrize("address", ["/a/b.png", "a/b.png", f"{BASE}/a/b.png", "/api/v1/a/b.png"])
def test_an_address_below_the_api_is_read_in_each_of_its_forms(address: str) -> None:
    """R27: relative to the API's base, as it is told; or in full."""
    steps, _ = had(a_plan(output=PDF), said(file_told(download_url=address)), said(b"%PDF-"))
    fetch = steps[-1]
    assert isinstance(fetch, Request)
    assert fetch.url == f"{BASE}/a/b.png"


def test_a_file_that_is_too_large_is_not_fetched() -> None:
    """R41: its size is told beforehand."""
    steps, failure = had(a_plan(output=IMAGE), said(file_told(size=MOST_FILE_BYTES + 1)))
    assert isinstance(failure, Failure)
    assert (requests(steps), failure.kind) == (["POST "], FailureKind.RUN_FAILED)
    assert "200,000,001 bytes" in failure.message


def test_a_file_is_tried_again_and_its_run_is_not_made_again() -> None:
    """R27: after three tries the run is taken up by its id, since it is paid for."""
    busy = said({"detail": {"reason": "SERVICE_UNAVAILABLE", "message": "later"}}, 503)
    steps, reply = had(a_plan(output=IMAGE), said(file_told()), busy, said(b"\x89PNG"))
    assert isinstance(reply, Reply)
    assert waits(steps) == [1.0]
    steps, failure = had(a_plan(output=IMAGE), said(file_told()), busy, busy, busy)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.usage) == (
        FailureKind.SERVER_ERROR,
        Usage(input_tokens=120, output_tokens=30),
    )
    assert failure.remote is not None
    assert (failure.remote.remote_id, failure.remote.is_over) == (RUN, False)
    steps, again = had(a_plan(output=IMAGE), said(file_told()), said(b"\x89PNG"), remote_id=RUN)
    assert isinstance(again, Reply)
    assert requests(steps) == [f"GET /{RUN}", f"GET /{RUN}/file/a.png"]


def test_a_file_that_is_gone_ends_the_row() -> None:
    """R55: another run would be charged, and nothing says that its file would be there."""
    gone = said({"detail": {"reason": "FILE_NOT_FOUND", "message": "File not found"}}, 404)
    failure = failed(said(file_told()), gone, output=IMAGE)
    assert (failure.kind, failure.http_status) == (FailureKind.RUN_FAILED, 404)


def test_r51_a_run_is_read_by_its_id() -> None:
    """R05, R51: no other is begun."""
    steps, reply = had(a_plan(), said(record()), remote_id=RUN)
    assert isinstance(reply, Reply)
    assert requests(steps) == [f"GET /{RUN}"]
    assert reply.remote is not None
    assert reply.remote.remote_id == RUN


def test_a_spoilt_record_is_read_again_by_the_id_in_the_header() -> None:
    """R35: the run is made, and its answer is to be had."""
    steps, reply = had(a_plan(), said(b'{"id": "', x_task_run_id=RUN), said(record()))
    assert isinstance(reply, Reply)
    assert (requests(steps), ids(steps)) == (["POST ", f"GET /{RUN}"], [RUN])
