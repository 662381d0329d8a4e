"""Parallel's Task API by hand: what is asked, how the end is waited for, and what a result is taken for."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.output import Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.parallel import LOST, Parallel
from tasks_lib.providers.parallel_errors import NOT_BEGUN
from tasks_lib.providers.protocol import Request, Response
from tests.providers.parallel_rig import (
    BASE,
    DONE,
    JSON,
    KEY,
    QUEUED,
    RUN_ID,
    SCHEMA,
    accepted,
    begun,
    body_begun,
    choice,
    drive,
    found,
    parallel,
    paths,
    pauses,
    plan_of,
    refused,
    response,
    run_told,
)

TEXT = Output.of(Modality.TEXT)


def outcome_of(*responses, plan=None, **run):
    """What comes of a run to which the API answers so."""
    plan = plan or plan_of()
    return drive(parallel().run(plan, plan.models[0], **run), *responses)[0]


def test_a_run_is_begun_waited_for_and_read() -> None:
    """P01, P10, P18, P19: one POST, the id at once, then its status until it ends, then the result."""
    plan = plan_of()
    running = response(run_told("running"))
    outcome, steps = drive(parallel().run(plan, plan.models[0]), QUEUED, running, running, DONE, found())
    assert paths(steps) == [
        "POST /v1/tasks/runs",
        f"GET /v1/tasks/runs/{RUN_ID}",
        f"GET /v1/tasks/runs/{RUN_ID}",
        f"GET /v1/tasks/runs/{RUN_ID}",
        f"GET /v1/tasks/runs/{RUN_ID}/result?timeout=5",
    ]
    assert accepted(steps) == [RUN_ID]
    assert outcome.text == '{"gdp":"$3.1 trillion (2023)"}'
    assert steps[1].remote_id == RUN_ID


def test_the_key_goes_into_its_header_and_nowhere_else() -> None:
    """P02: x-api-key; neither the body nor an error that echoes it shows it."""
    request = begun()
    assert request.headers["x-api-key"] == KEY
    assert KEY.encode() not in request.body
    failure = outcome_of(refused(401, f"bad key {KEY}"))
    assert failure.kind is FailureKind.UNAUTHORIZED
    assert KEY not in failure.message


def test_a_key_that_is_no_header_is_not_shown() -> None:
    """P02: the error names its variable."""
    account = Provider(name="p", protocol="parallel", base_url=BASE)
    with pytest.raises(ValueError, match="P_KEY") as error:
        Parallel(account, Secret("P_KEY", "line\nbreak"))
    assert "line" not in str(error.value)


def test_the_prompt_is_the_input() -> None:
    """P03: as text, the system prompt before it, since a run has no roles."""
    assert body_begun()["input"] == "France (2023)"
    assert body_begun(system="Be exact.")["input"] == "Be exact.\n\nFrance (2023)"


def test_the_placeholders_values_are_the_input_where_it_is_to_be_an_object() -> None:
    """P03: with their JSON types, and what processors made of them; the prompt is not sent."""
    body = body_begun(
        choice(input="object"),
        submitted={"country": "France", "year": 2023, "page": "https://example.org"},
        processed={"page": "its text"},
    )
    assert body["input"] == {"country": "France", "year": 2023, "page": "its text"}


def test_the_model_is_the_processor() -> None:
    """P04: its name goes as it is, -fast among them."""
    assert body_begun(choice("core2x-fast"))["processor"] == "core2x-fast"


def test_without_a_schema_the_api_finds_one() -> None:
    """P05: JSON without a schema is asked for as auto, with what is said of it."""
    output = Output.of(Modality.JSON)
    assert body_begun(output=output)["task_spec"] == {"output_schema": {"type": "auto"}}
    told = body_begun(choice(output_description="Key facts"), output=output)["task_spec"]
    assert told == {"output_schema": {"type": "auto", "description": "Key facts"}}


def test_the_outputs_schema_is_the_output_schema() -> None:
    """P06, P08: as it is, where the API has words for all of it."""
    assert body_begun()["task_spec"] == {"output_schema": {"type": "json", "json_schema": SCHEMA}}


def test_what_the_api_has_no_words_for_is_said_in_descriptions() -> None:
    """P06: an unsupported keyword would be an error there; our own check of answers still holds it."""
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["score"],
        "additionalProperties": False,
    }
    told = body_begun(output=Output.of(Modality.JSON, schema))["task_spec"]["output_schema"]["json_schema"]
    score = told["properties"]["score"]
    assert "minimum" not in score
    assert "0" in score["description"]


def test_text_is_asked_for_as_text() -> None:
    """P06: with a description, if there is one."""
    assert body_begun(output=TEXT)["task_spec"] == {"output_schema": {"type": "text"}}
    told = body_begun(choice(output_description="Two lines"), output=TEXT)["task_spec"]["output_schema"]
    assert told == {"type": "text", "description": "Two lines"}


def test_csv_with_columns_is_asked_for_as_rows() -> None:
    """P06: a list of objects cannot lose a comma."""
    output = Output.of(Modality.CSV, columns=[CsvColumn(name="city", type=ColumnType.STRING)])
    schema = body_begun(output=output)["task_spec"]["output_schema"]["json_schema"]
    assert list(schema["properties"]) == ["rows"]


def test_an_input_schema_goes_along() -> None:
    """P07: bare JSON Schema gets its envelope, and what has one keeps it."""
    bare = {"type": "object", "properties": {"country": {"type": "string"}}}
    wrapped = {"type": "json", "json_schema": bare}
    assert body_begun(choice(input_schema=bare))["task_spec"]["input_schema"] == wrapped
    assert body_begun(choice(input_schema=wrapped))["task_spec"]["input_schema"] == wrapped
    assert "input_schema" not in body_begun()["task_spec"]


def test_metadata_names_the_row() -> None:
    """P09, P16: key, identity and run, by which a lost run is found again; then the labels."""
    told = body_begun(reporting_group="team-a", reference="ref", metadata={"dataset": "gdp"})["metadata"]
    assert told == {
        "row_key": "row-7",
        "identity": "0123456789abcdef0123456789abcdef",
        "task_run_id": "018f-task-run",
        "reporting_group": "team-a",
        "reference": "ref",
        "dataset": "gdp",
    }


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=600), max_size=20),
    st.text(min_size=1, max_size=600),
)
def test_metadata_keeps_the_limits_whatever_the_job_wants(metadata, row_key) -> None:
    """P09: 16 entries, keys of 16 and values of 512 characters; what does not fit stays behind."""
    told = body_begun(metadata=metadata, row_key=row_key)["metadata"]
    assert len(told) <= 16
    assert all(len(name) <= 16 and len(value) <= 512 for name, value in told.items())
    assert told["identity"] == "0123456789abcdef0123456789abcdef"


def test_further_fields_go_as_they_are() -> None:
    """P19: source policy, settings, tools, memory and notices; betas in their header; others are not sent."""
    fields = {
        "source_policy": {"include_domains": ["example.org"]},
        "advanced_settings": {"location": "de"},
        "mcp_servers": [{"type": "url", "name": "tools", "url": "https://mcp.example.org"}],
        "enable_events": False,
        "previous_interaction_id": "trun_0",
        "memory_scope_key": "scope",
        "webhook": {"url": "https://example.org/hook", "event_types": ["task_run.status"]},
    }
    request = begun(choice(**fields, temperature=0, betas=["mcp-server-2025-07-17", "x-1"]))
    body = orjson.loads(request.body)
    assert {name: body[name] for name in fields} == fields
    assert set(body) == {*fields, "processor", "task_spec", "metadata", "input"}
    assert request.headers["parallel-beta"] == "mcp-server-2025-07-17,x-1"


@pytest.mark.parametrize("status", ["queued", "running", "cancelling", "action_required", "one-of-tomorrow"])
def test_a_run_that_has_not_ended_is_looked_at_again(status) -> None:
    """P11, P12: ended are completed, failed and cancelled, and nothing else; pauses grow to 30 seconds."""
    plan = plan_of()
    going_on = [response(run_told(status))] * 14
    outcome, steps = drive(parallel().run(plan, plan.models[0]), QUEUED, *going_on, DONE, found())
    assert isinstance(outcome, Reply)
    waits = pauses(steps)
    assert waits[0] == 1.0
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_failed_tells_why(status) -> None:
    """P11: its error is the reason; it is over, not tried on the same processor again, and free."""
    error = {"ref_id": "ref-9", "message": "No sources", "detail": {"tried": 3}}
    failure = outcome_of(QUEUED, response(run_told(status, error=error)))
    assert failure.kind is FailureKind.RUN_FAILED
    assert failure.message == f'the run {RUN_ID} is {status}: No sources {{"tried":3}}'
    assert failure.request_id == "ref-9"
    assert failure.remote.is_over
    assert failure.usage is None
    assert not failure.maybe_billed


def test_a_run_that_somebody_would_have_to_act_on_is_given_up_at_its_deadline() -> None:
    """P11: action_required is neither active nor over (6.18); it can be taken up again."""
    plan = plan_of()
    blocked = [response(run_told("action_required"))] * 5
    exchange = parallel(run=4.0).run(plan, plan.models[0])
    failure, _ = drive(exchange, QUEUED, *blocked[:4])
    assert failure.kind is FailureKind.GIVEN_UP
    assert "action_required" in failure.message
    assert not failure.remote.is_over


def test_warnings_of_any_type_are_told() -> None:
    """P13, P14: type, message and detail in one line each."""
    warnings = [
        {"type": "spec_validation_warning", "message": "Too deep", "detail": {"levels": 4}},
        {"type": "one-of-tomorrow", "message": "Hm", "detail": None},
    ]
    reply = outcome_of(QUEUED, DONE, found(run=run_told(warnings=warnings)))
    assert reply.remote.warnings == (
        'spec_validation_warning: Too deep {"levels":4}',
        "one-of-tomorrow: Hm",
    )


def test_what_the_run_tells_of_itself_is_kept() -> None:
    """P15, P16, P17: processor, group, metadata, times, and the seconds between them."""
    remote = outcome_of(QUEUED, DONE, found(run=run_told(processor="lite-fast"))).remote
    assert (remote.remote_id, remote.group_id, remote.status) == (RUN_ID, "tgrp_1", "completed")
    assert remote.processor == "lite-fast"
    assert remote.run_data["metadata"] == {"row_key": "row-7"}
    assert remote.run_data["created_at"] == "2026-11-20T10:00:00.000000Z"
    assert remote.run_data["seconds"] == 41.5


def test_times_may_be_missing() -> None:
    """P17: both may be null."""
    remote = outcome_of(QUEUED, DONE, found(run=run_told(created_at=None, modified_at=None))).remote
    assert "seconds" not in remote.run_data


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_begins_a_run(status) -> None:
    """P18: the page says 200, the specification 202."""
    assert isinstance(outcome_of(response(run_told("queued"), status), DONE, found()), Reply)


def test_the_basis_becomes_citations() -> None:
    """P19: one for each source; a field without one has its reasoning and confidence all the same."""
    basis = [
        {
            "field": "gdp",
            "reasoning": "Two agree.",
            "citations": [
                {"url": "https://a.test", "excerpts": ["x"]},
                {"url": "https://b.test", "title": "B"},
            ],
            "confidence": "high",
        },
        {"field": "gdp.0", "reasoning": "None.", "citations": [], "confidence": ""},
    ]
    citations = outcome_of(QUEUED, DONE, found(basis=basis)).remote.citations
    assert [(one.field, one.url, one.confidence) for one in citations] == [
        ("gdp", "https://a.test", "high"),
        ("gdp", "https://b.test", "high"),
        ("gdp.0", None, None),
    ]
    assert citations[0].excerpts == ("x",)
    assert citations[1].title == "B"


def test_a_form_that_the_api_found_is_kept() -> None:
    """P05: its schema and the calls of tools stand in the run's data."""
    reply = outcome_of(QUEUED, DONE, found(output_schema={"type": "object"}, mcp_tool_calls=[{"a": 1}]))
    assert reply.remote.run_data["output_schema"] == {"type": "object"}
    assert reply.remote.run_data["mcp_tool_calls"] == [{"a": 1}]


def test_text_is_the_answer_as_it_is() -> None:
    """P06: what a text run found."""
    assert outcome_of(QUEUED, DONE, found("It is so.")).text == "It is so."


def test_a_run_is_taken_up_by_its_id() -> None:
    """P10: no POST, and no second word of its id."""
    plan = plan_of()
    outcome, steps = drive(parallel().run(plan, plan.models[0], remote_id=RUN_ID), DONE, found())
    assert isinstance(outcome, Reply)
    assert accepted(steps) == []
    assert paths(steps)[0] == f"GET /v1/tasks/runs/{RUN_ID}"


def test_that_a_run_may_be_lost_is_told_to_whoever_carries_the_request() -> None:
    """P10, P16: it looks for a run with this row's metadata before it begins one."""
    plan = plan_of()
    assert LOST in next(parallel().run(plan, plan.models[0], lost=True)).headers
    assert LOST not in begun().headers


def test_a_run_that_is_unknown_there_is_begun_anew() -> None:
    """P10: after some looks, since a run may be younger than the record that is asked; it counts as over."""
    gone = [refused(404)] * 9
    failure = outcome_of(*gone, remote_id=RUN_ID)
    assert failure.kind is FailureKind.BROKEN_REPLY
    assert failure.remote.is_over
    assert isinstance(outcome_of(refused(404), DONE, found(), remote_id=RUN_ID), Reply)


def test_a_result_that_is_gone_is_asked_about() -> None:
    """P19: 404 means failed, or unknown (6.23): the run's own record tells which."""
    error = {"ref_id": "r", "message": "Out of sources"}
    failed = response(run_told("failed", error=error))
    failure = outcome_of(QUEUED, DONE, refused(404, "Run failed or run id not found"), failed)
    assert failure.kind is FailureKind.RUN_FAILED
    assert "Out of sources" in failure.message


@pytest.mark.parametrize("status", [404, 408, 429, 500, 502, 503])
def test_a_look_that_fails_in_passing_is_not_the_rows_failure(status) -> None:
    """P19: looking again costs nothing; the run goes on meanwhile."""
    outcome = outcome_of(QUEUED, refused(status), DONE, refused(status if status != 404 else 408), found())
    assert isinstance(outcome, Reply)


def test_a_run_out_of_sight_is_not_over() -> None:
    """P10: after looks in vain the row fails as its provider does; the run can be taken up again."""
    failure = outcome_of(QUEUED, *[refused(503)] * 9)
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.remote is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REJECTED),
        (401, FailureKind.UNAUTHORIZED),
        (402, FailureKind.OUT_OF_CREDIT),
        (403, FailureKind.FORBIDDEN),
        (404, FailureKind.UNKNOWN_MODEL),
        (413, FailureKind.REJECTED),
        (422, FailureKind.REJECTED),
        (429, FailureKind.RATE_LIMITED),
    ],
)
def test_a_refusal_begins_nothing(status, kind) -> None:
    """P19: 4.1's table; the id of the error is the request's where no header names it."""
    failure = outcome_of(refused(status, "Because"))
    assert (failure.kind, failure.http_status) == (kind, status)
    assert failure.message == f"{status} Because"
    assert failure.request_id == "ref-1"
    assert not failure.maybe_billed


@pytest.mark.parametrize("status", [408, 500, 502, 503])
def test_an_error_of_theirs_may_have_begun_a_run(status) -> None:
    """P10, P19: unless whoever carried it has made sure that it did not."""
    assert outcome_of(refused(status)).maybe_billed
    assert outcome_of(refused(status)).kind is FailureKind.SERVER_ERROR
    assert not outcome_of(refused(status, **{NOT_BEGUN: "1"})).maybe_billed


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"run_id": 7}', b'{"run_id": "trun_'])
def test_a_success_without_an_id_may_have_begun_a_run(body) -> None:
    """P10: cut short or another's; it is looked for before another is begun."""
    failure = outcome_of(Response(status=202, headers={}, body=body))
    assert failure.kind is FailureKind.BROKEN_REPLY
    assert failure.maybe_billed


def test_retry_after_is_heeded() -> None:
    """P19: as other providers' is."""
    assert outcome_of(refused(429, **{"retry-after": "7"})).retry_after == 7.0


def test_errors_of_groups_are_read_too() -> None:
    """P19: a 422 may have FastAPI's shape."""
    told = {"detail": [{"loc": ["body", "inputs", 0], "msg": "too long", "type": "value_error"}]}
    assert outcome_of(response(told, 422)).message == "422 body.inputs.0: too long"


def test_an_input_beyond_the_limit_is_not_sent() -> None:
    """P03: specification and input have 25,000 characters together."""
    plan = plan_of(text="x" * 25_001)
    outcome, steps = drive(parallel().run(plan, plan.models[0]))
    assert (outcome.kind, steps) == (FailureKind.BAD_ROW, [])


def test_files_cannot_be_sent() -> None:
    """P03: a run takes text or JSON."""
    file = Attachment(name="a.png", mime_type="image/png", content=b"x")
    messages = (Message(role="user", text="See", files=(file,)),)
    plan = plan_of(messages=messages)
    outcome, _ = drive(parallel().run(plan, plan.models[0]))
    assert outcome.kind is FailureKind.REJECTED


LADDER = (choice("lite", min_confidence="medium"), choice("core", min_confidence="medium"))


def test_an_answer_of_low_confidence_goes_on_to_the_next_processor() -> None:
    """P04, P19: it is billed, and not asked for on the same processor again."""
    failure = outcome_of(QUEUED, DONE, found(confidence="low"), plan=plan_of(*LADDER))
    assert failure.kind is FailureKind.LOW_CONFIDENCE
    assert failure.kind.budget is None
    assert failure.kind.worth_another_model
    assert failure.usage == Usage(input_tokens=0, output_tokens=0)
    assert failure.message == "confidence below medium: gdp low"
    assert failure.remote.is_over


@pytest.mark.parametrize("confidence", ["medium", "high", "", None])
def test_an_answer_of_enough_or_untold_confidence_is_one(confidence) -> None:
    """P19: some processors tell none."""
    assert isinstance(outcome_of(QUEUED, DONE, found(confidence=confidence), plan=plan_of(*LADDER)), Reply)


def test_the_last_processors_answer_is_kept_with_a_warning() -> None:
    """P04, P13: there is nobody else to ask."""
    plan = plan_of(*LADDER)
    reply, _ = drive(parallel().run(plan, plan.models[1]), QUEUED, DONE, found(confidence="low"))
    assert reply.remote.warnings == ("confidence below medium: gdp low",)


def test_only_the_named_fields_need_be_sure() -> None:
    """P19: a field's elements count with it."""
    held = choice("lite", min_confidence="high", confidence_fields=["gdp"])
    other = choice("core")
    unsure = [{"field": "year", "confidence": "low"}, {"field": "gdp", "confidence": "high"}]
    assert isinstance(outcome_of(QUEUED, DONE, found(basis=unsure), plan=plan_of(held, other)), Reply)
    unsure = [{"field": "gdp.1", "confidence": "medium"}]
    failure = outcome_of(QUEUED, DONE, found(basis=unsure), plan=plan_of(held, other))
    assert failure.kind is FailureKind.LOW_CONFIDENCE


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.just("completed")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["run", "output", "status", "run_id", "basis", "content", "error", "warnings"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(st.lists(st.tuples(st.sampled_from([200, 202, 404, 408, 500]), ANYTHING), min_size=1, max_size=30))
def test_whatever_is_answered_nothing_is_raised(answers) -> None:
    """P19: strange answers are failures, or looked past."""
    plan = plan_of()
    exchange = parallel().run(plan, plan.models[0], remote_id=RUN_ID)
    left, outcome, step = [response(told, status) for status, told in answers], None, next(exchange)
    try:
        while left or not isinstance(step, Request):
            step = exchange.send(left.pop(0)) if isinstance(step, Request) else next(exchange)
    except StopIteration as end:
        outcome = end.value
    assert outcome is None or isinstance(outcome, Reply | Failure)


def test_the_same_for_every_row_is_made_once() -> None:
    """P06: a thousand rows' specifications are one."""
    protocol, plan = parallel(), plan_of(output=JSON)
    bodies = [next(protocol.run(plan, plan.models[0])).body for _ in range(2)]
    assert bodies[0] == bodies[1]
