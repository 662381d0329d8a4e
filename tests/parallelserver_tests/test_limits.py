"""Every documented limit: what lies within it is taken, and what lies beyond it is refused with its code."""

import parallel
import pytest

from tests.parallelserver_tests.asking import CORE_MILLI_USD, SPEC, run_input, spec_of

TEXT = {"type": "string"}
A = {"$ref": "#/$defs/a"}
REFERRING = {"type": "object", "properties": {"a": A}}
OPTIONAL = {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
TAKES_OBJECTS = {"type": "json", "json_schema": {"type": "object"}}


def nested(levels):
    """A schema whose objects lie so many levels deep."""
    schema = TEXT
    for _ in range(levels):
        schema = {
            "type": "object",
            "properties": {"inner": schema},
            "required": ["inner"],
            "additionalProperties": False,
        }
    return schema


def with_schema(schema):
    return {"task_spec": {"output_schema": {"type": "json", "json_schema": schema}}}


def enum_of(values, length):
    return {"task_spec": spec_of(label={"type": "string", "enum": [f"{n:0{length}}" for n in range(values)]})}


WITHIN = {
    "metadata": {"metadata": {"k" * 16: "v" * 512, "number": 1, "share": 0.5, "flag": True}},
    "spec": {"task_spec": {"output_schema": "x" * (15_000 - len('{"output_schema":""}'))}},
    "spec and input": {
        "input": "x" * (25_000 - len('{"output_schema":""}')),
        "task_spec": {"output_schema": ""},
    },
    "nesting": with_schema(nested(5)),
    "properties": {"task_spec": spec_of(**{f"field_{n}": TEXT for n in range(100)})},
    "enum values": enum_of(500, 15),
    "large enum": enum_of(251, 29),
    "a union with null": {"task_spec": spec_of(a={"anyOf": [TEXT, {"type": "null"}]})},
    "domains": {"source_policy": {"include_domains": ["a.org"] * 150, "exclude_domains": [".gov"] * 50}},
    "a path": {"source_policy": {"include_domains": ["docs.python.org/3"], "after_date": "2026-01-31"}},
    "servers": {"mcp_servers": [{"name": str(n), "url": "https://a.org"} for n in range(10)]},
    "scope": {"memory_scope_key": "a" * 128},
    "webhook": {"webhook": {"url": "http://127.0.0.1:1/", "event_types": []}},
    "location": {"advanced_settings": {"location": "us", "data_sources": {"free": ["maps"]}}},
}
BEYOND = {
    "a metadata key": {"metadata": {"k" * 17: "v"}},
    "a metadata value": {"metadata": {"k": "v" * 513}},
    "a metadata list": {"metadata": {"k": ["v"]}},
    "spec": {"task_spec": {"output_schema": "x" * 15_000}},
    "spec and input": {"input": "x" * 25_001},
    "no output schema": {"task_spec": {"input_schema": "x"}},
    "a type that is not known": {"task_spec": {"output_schema": {"type": "csv"}}},
    "no JSON schema": with_schema({"type": "objet", "properties": {}}),
    "a root that is a list": with_schema({"type": "array", "items": TEXT}),
    "a root without properties": with_schema({"type": "object"}),
    "a root with anyOf": with_schema({"type": "object", "properties": {}, "anyOf": [{}]}),
    "null by itself": {"task_spec": spec_of(a={"type": "null"})},
    "nesting": with_schema(nested(6)),
    "nesting without end": with_schema(REFERRING | {"$defs": {"a": {"type": "array", "items": A}}}),
    "a reference to itself": with_schema(REFERRING | {"$defs": {"a": A}}),
    "properties": {"task_spec": spec_of(**{f"field_{n}": TEXT for n in range(101)})},
    "enum values": enum_of(501, 3),
    "a large enum": enum_of(251, 30),
    "a keyword": {"task_spec": spec_of(a={"type": "string", "pattern": "x"})},
    "domains": {"source_policy": {"include_domains": ["a.org"] * 150, "exclude_domains": [".gov"] * 51}},
    "a scheme in a domain": {"source_policy": {"include_domains": ["https://a.org"]}},
    "a date": {"source_policy": {"after_date": "yesterday"}},
    "servers": {"mcp_servers": [{"name": str(n), "url": "https://a.org"} for n in range(11)]},
    "a server without a URL": {"mcp_servers": [{"name": "a"}]},
    "a server's headers": {"mcp_servers": [{"name": "a", "url": "https://a.org", "headers": {"k": 1}}]},
    "a long scope": {"memory_scope_key": "a" * 129},
    "a scope": {"memory_scope_key": "a b"},
    "a webhook's URL": {"webhook": {"url": "nowhere"}},
    "a webhook's events": {"webhook": {"url": "https://a.org", "event_types": ["task_run.done"]}},
    "a country": {"advanced_settings": {"location": "usa"}},
    "data sources of fast processors": {
        "processor": "core-fast",
        "advanced_settings": {"data_sources": {"free": ["maps"]}},
    },
    "a source named like a server": {
        "mcp_servers": [{"name": "maps", "url": "https://a.org"}],
        "advanced_settings": {"data_sources": {"pay_per_use": ["maps"]}},
    },
    "an input that is a list": {"input": ["x"]},
    "no processor": {"processor": None},
}  # fmt: skip  # one case a line, as long as it goes


def asked(more):
    return {"input": "x", "processor": "core", **more}


@pytest.mark.parametrize("more", WITHIN.values(), ids=WITHIN)
def test_what_lies_within(sdk, more):
    """A limit is still within itself."""
    client = sdk()
    assert client.task_run.result(client.task_run.create(**asked(more)).run_id)


@pytest.mark.parametrize("more", BEYOND.values(), ids=BEYOND)
def test_what_lies_beyond(sdk, server, more):
    """What lies beyond is a 422 in the documented envelope that names the part, and nothing is made."""
    with pytest.raises(parallel.UnprocessableEntityError) as refused:
        sdk().task_run.create(**asked(more))
    body = refused.value.body
    assert (body["type"], body["error"].keys()) == ("error", {"ref_id", "message", "detail"})
    assert body["error"]["detail"]["errors"][0]["loc"]
    assert server.stats()["runs_made"] == 0


@pytest.mark.parametrize("processor", ["Core", "turbo", "core-faster", "ultra2x"])
def test_processors(sdk, processor):
    """A processor that does not exist, or that this key may not use, is a 403."""
    client = sdk(forbid="ultra+ultra2x")
    with pytest.raises(parallel.PermissionDeniedError, match="invalid processor"):
        client.task_run.create(input="x", processor=processor)
    assert client.task_run.create(input="x", processor="ultra8x-fast")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"task_spec": spec_of(sources=TEXT)}, "sources"),
        ({"task_spec": spec_of(**{f"field_{n}": TEXT for n in range(11)})}, "10 output fields"),
        (with_schema(OPTIONAL), "required"),
        (with_schema(OPEN), "additionalProperties"),
        (with_schema(nested(4)), "4 levels"),
        ({"input": "x" * 15_001}, "15001 characters"),
        ({"task_spec": {"output_schema": "x", "input_schema": TAKES_OBJECTS}}, "input schema"),
    ],
)  # fmt: skip
def test_what_is_only_warned_of(sdk, more, told):
    """What the documentation warns of is taken, and the run says so from its creation on."""
    client = sdk()
    run = client.task_run.create(**asked(more))
    (warning,) = run.warnings
    assert told in warning.message
    assert warning.type == (
        "input_validation_warning" if told == "input schema" else "spec_validation_warning"
    )
    assert client.task_run.result(run.run_id).run.warnings == run.warnings


def test_keywords_as_warnings(sdk):
    """Unsupported keywords give a warning where the server is told so."""
    run = sdk(keywords="warning").task_run.create(**asked(BEYOND["a keyword"]))
    assert "pattern" in run.warnings[0].message


def test_a_warning_that_nobody_knows(sdk):
    """A type that the SDK does not know comes through, as the list of types is open."""
    run = sdk(warn=1, strict=False).task_run.create(input="x", processor="core")
    assert [warning.type for warning in run.warnings] == ["unheard_of"]


def test_limits_of_a_group(sdk, server):
    """One input beyond its limits refuses the whole POST, by its place; a POST holds a thousand at most."""
    client = sdk()
    group_id = client.task_group.create().task_group_id
    for inputs, place in (
        ([run_input(row) for row in range(1_001)], "inputs"),
        ([run_input(1), run_input(2, memory_scope_key="")], "inputs.1.memory_scope_key"),
        ([], "inputs"),
    ):
        with pytest.raises(parallel.UnprocessableEntityError) as refused:
            client.task_group.add_runs(group_id, inputs=inputs)
        assert refused.value.body["error"]["detail"]["errors"][0]["loc"] == place
    with pytest.raises(parallel.UnprocessableEntityError) as refused:
        client.task_group.add_runs(
            group_id, inputs=[run_input(1)], default_task_spec=BEYOND["spec"]["task_spec"]
        )
    assert "default_task_spec" in refused.value.body["error"]["detail"]["errors"][0]["loc"]
    with pytest.raises(parallel.PermissionDeniedError):
        client.task_group.add_runs(group_id, inputs=[run_input(1), run_input(2, processor="turbo")])
    assert server.stats()["runs_made"] == 0
    assert (
        len(client.task_group.add_runs(group_id, inputs=[run_input(n) for n in range(1_000)]).run_ids)
        == 1_000
    )


def test_the_other_shape_of_a_422(sdk):
    """A group's 422 may have the shape that its reference page gives."""
    client = sdk(group_422="detail")
    group_id = client.task_group.create().task_group_id
    with pytest.raises(parallel.UnprocessableEntityError) as refused:
        client.task_group.add_runs(group_id, inputs=[])
    assert refused.value.body["detail"][0]["loc"] == ["body", "inputs"]


def test_creates_a_minute(sdk, server):
    """A window holds its limit of creating POSTs, by key; GETs and new groups do not count."""
    client = sdk(rpm=3)
    runs = [client.task_run.create(**run_input(row)) for row in range(2)]
    group_id = client.task_group.create().task_group_id
    client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(10, 15)])
    with pytest.raises(parallel.RateLimitError):
        client.task_run.create(**run_input(3))
    for run in runs:
        client.task_run.retrieve(run.run_id)
    assert sdk(key="another", rpm=3).task_run.create(**run_input(4))
    assert server.busiest(60) == (5, 8)
    assert server.stats()["by_outcome"]["rpm"] == 1


def test_creates_a_minute_by_the_stricter_readings(sdk):
    """A group's POST may count once for each run, and GETs may count too."""
    client = sdk(rpm=3, rpm_runs=1)
    group_id = client.task_group.create().task_group_id
    with pytest.raises(parallel.RateLimitError):
        client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(4)])
    assert client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(3)])
    client = sdk(key="another", rpm=2, rpm_all=1)
    run = client.task_run.create(input="x", processor="core")
    client.task_run.retrieve(run.run_id)
    with pytest.raises(parallel.RateLimitError):
        client.task_run.retrieve(run.run_id)


def test_the_window_moves_on(sdk, eventually):
    """What a window has held falls out of it."""
    client = sdk(rpm=1, rpm_window=0.3)
    client.task_run.create(**run_input(1))

    def let_in():
        try:
            return bool(client.task_run.create(**run_input(2)))
        except parallel.RateLimitError:
            return False

    assert not let_in()
    eventually(let_in)


def test_credits_are_reserved_for_runs_in_flight(sdk, server):
    """What runs in flight have reserved away is a 402, for all of a group's runs or for none."""
    client = sdk(balance=3 * CORE_MILLI_USD / 1_000, never=1)
    client.task_run.create(**run_input(1))
    group_id = client.task_group.create().task_group_id
    with pytest.raises(parallel.APIStatusError, match="402") as refused:
        client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(2, 5)])
    detail = refused.value.body["error"]["detail"]
    assert detail == {"available": 2 * CORE_MILLI_USD / 1_000, "needed": 3 * CORE_MILLI_USD / 1_000}
    assert client.task_group.retrieve(group_id).status.num_task_runs == 0
    client.task_group.add_runs(group_id, inputs=[run_input(row) for row in range(2, 4)])
    with pytest.raises(parallel.APIStatusError, match="402"):
        client.task_run.create(**run_input(5))
    stats = server.stats()
    assert stats["usd_reserved"] == stats["usd_reserved_max"] == 3 * CORE_MILLI_USD / 1_000
    assert stats["usd_spent"] == 0


def test_credits_are_spent_by_runs_that_succeed(sdk, server):
    """A run that ends gives its reservation back; one that succeeds has spent it, one that fails has not."""
    balance = 2 * CORE_MILLI_USD / 1_000
    good, bad = sdk(balance=balance), sdk(balance=balance, fail=1)
    for row in range(5):
        with pytest.raises(parallel.NotFoundError):
            bad.task_run.result(bad.task_run.create(**run_input(row)).run_id)
    for row in range(2):
        assert good.task_run.result(good.task_run.create(**run_input(row)).run_id)
    with pytest.raises(parallel.APIStatusError, match="402"):
        good.task_run.create(**run_input(9))
    stats = server.stats()
    assert (stats["usd_spent"], stats["usd_reserved"]) == (balance, 0)


def test_failed_runs_that_cost(sdk, server):
    """With bill_failed a failed run costs what it would have cost."""
    client = sdk(fail=1, bill_failed=1)
    run = client.task_run.create(input="x", processor="ultra")
    with pytest.raises(parallel.NotFoundError):
        client.task_run.result(run.run_id)
    assert server.stats()["usd_spent"] == 0.3


def test_a_spec_is_judged_once_for_all(sdk):
    """A group's thousand runs share the warnings of their default spec."""
    client = sdk()
    group_id = client.task_group.create().task_group_id
    loose = {"output_schema": {"json_schema": {"type": "object", "properties": {"a": TEXT}}}}
    added = client.task_group.add_runs(group_id, inputs=[run_input(1), run_input(2)], default_task_spec=loose)
    warnings = [client.task_run.retrieve(run_id).warnings for run_id in added.run_ids]
    assert warnings[0] == warnings[1]
    assert len(warnings[0]) == 2
    assert not client.task_run.create(**run_input(3), task_spec=SPEC).warnings
