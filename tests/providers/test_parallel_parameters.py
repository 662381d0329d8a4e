"""What Parallel would refuse is found before the first call, and what it warns of is told."""

import pytest

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.output import Modality, Output
from tasks_lib.providers.parallel_parameters import PROCESSORS, cautions, problems
from tasks_lib.providers.parallel_spec import spec_of
from tests.providers.parallel_rig import JSON, SCHEMA

SERVER = {"type": "url", "name": "tools", "url": "https://mcp.example.org"}
GOOD = {
    "input": "object",
    "input_schema": SCHEMA,
    "output_description": "facts",
    "min_confidence": "medium",
    "confidence_fields": ["gdp"],
    "betas": ["events-sse-2025-07-24"],
    "source_policy": {
        "include_domains": ["example.org", ".gov", "example.com/a"],
        "after_date": "2026-01-31",
    },
    "advanced_settings": {"location": "DE", "data_sources": {"free": ["a"], "pay_per_use": []}},
    "mcp_servers": [{**SERVER, "headers": {"authorization": "x"}, "allowed_tools": ["look_up"]}],
    "enable_events": True,
    "previous_interaction_id": "trun_1",
    "memory_scope_key": "a-b_c",
    "webhook": {"url": "https://example.org/hook", "event_types": ["task_run.status"]},
}


def json_of(properties, **more):
    """An output of these properties."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return Output.of(Modality.JSON, {**schema, **more})


def nested(levels):
    """A property that is so many objects deep."""
    told = {"type": "string"}
    for _ in range(levels):
        told = {"type": "object", "properties": {"a": told}, "required": ["a"], "additionalProperties": False}
    return told


def test_what_is_good_is_let_pass() -> None:
    """P19: every field of a run, as the documentation has it."""
    assert problems(GOOD, JSON) == []
    assert cautions("core", {}, JSON) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"source_polcy": {}}, "Did you mean source_policy"),
        ({"input": "json"}, "input must be text"),
        ({"min_confidence": "great"}, "min_confidence must be one of low, medium, high"),
        ({"confidence_fields": ["a"]}, "nothing without min_confidence"),
        ({"min_confidence": "low", "confidence_fields": "a"}, "confidence_fields must be a list"),
        ({"output_description": 3}, "output_description must be text"),
        ({"input_schema": 3}, "input_schema must be a JSON Schema"),
        ({"source_policy": []}, "source_policy must have"),
        ({"source_policy": {"domains": []}}, "source_policy has no domains"),
        ({"source_policy": {"include_domains": ["https://a.org"]}}, "is no domain"),
        ({"source_policy": {"include_domains": "a.org"}}, "must be a list of domains"),
        ({"source_policy": {"after_date": "31.1.2026"}}, "must be a date"),
        ({"advanced_settings": {"location": "GER"}}, "two letters"),
        ({"advanced_settings": {"data_sources": {"free": "a"}}}, "must be a list of names"),
        ({"mcp_servers": SERVER}, "mcp_servers must be a list"),
        ({"mcp_servers": [{**SERVER, "type": "stdio"}]}, "mcp_servers.0.type must be url"),
        ({"mcp_servers": [{"name": "a"}]}, "mcp_servers.0.url must be an address"),
        ({"mcp_servers": [SERVER] * 11}, "mcp_servers has 11 servers, 10 are allowed"),
        ({"enable_events": "yes"}, "enable_events must be true or false"),
        ({"previous_interaction_id": 7}, "previous_interaction_id must be"),
        ({"memory_scope_key": "a b"}, "memory_scope_key must be"),
        ({"memory_scope_key": "a" * 129}, "memory_scope_key must be"),
        ({"betas": "one"}, "betas must be a list"),
        ({"webhook": {"url": "example.org"}}, "webhook.url must be an address"),
        ({"webhook": {"url": "https://a.org", "event_types": ["all"]}}, "webhook.event_types can be"),
    ],
)
def test_what_would_be_refused_is_told(wrong, told) -> None:
    """P19: in words that say what would be right."""
    (problem,) = problems(wrong, JSON)
    assert told in problem


def test_domains_are_counted_together() -> None:
    """P19: 200 of both sorts."""
    lists = {"include_domains": ["a.org"] * 150, "exclude_domains": ["b.org"] * 51}
    assert problems({"source_policy": lists}, JSON) == ["source_policy names 201 domains, 200 are allowed"]


def test_a_source_and_a_server_have_two_names() -> None:
    """P19: one name for both would be refused."""
    told = {"advanced_settings": {"data_sources": {"free": ["tools"]}}, "mcp_servers": [SERVER]}
    assert "has the name of an MCP server" in problems(told, JSON)[0]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (Output.of(Modality.JSON, {"type": "array", "items": {"type": "string"}}), "cannot be told"),
        (Output.of(Modality.JSON, {"anyOf": [SCHEMA, SCHEMA]}), "cannot be told"),
        (Output.of(Modality.JSON, {"type": "object"}), "an object with properties"),
        (json_of({f"p{n}": {"type": "string"} for n in range(101)}), "101 properties, 100 are allowed"),
        (json_of({"a": {"enum": [f"v{n}" for n in range(501)]}}), "501 enum values, 500 are allowed"),
        (json_of({"a": {"enum": ["v" * 30 + str(n) for n in range(300)]}}), "7500 characters"),
        (json_of({"a": nested(5)}), "6 levels deep, 5 are allowed"),
        (json_of({"a": {"type": "string", "description": "x" * 15_000}}), "of 15000 characters"),
    ],
)
def test_a_schema_beyond_the_limits_is_refused(output, told) -> None:
    """P06, P08: the higher of two documented limits is an error (6.20)."""
    assert any(told in problem for problem in problems({}, output))


def test_five_levels_are_let_pass_and_told_of() -> None:
    """P06: one page allows three, another five (6.20)."""
    output = json_of({"a": nested(4)})
    assert problems({}, output) == []
    assert "5 levels deep" in cautions("core", {}, output)[0]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({**SCHEMA, "required": []}, "not all properties"),
        ({**SCHEMA, "additionalProperties": True}, "without additionalProperties: false"),
        ({**SCHEMA, "properties": {"sources": {"type": "string"}}, "required": ["sources"]}, "sources"),
    ],
)
def test_what_the_api_warns_of_is_told_before(schema, told) -> None:
    """P08, P13: closed and complete schemas, without what every answer has anyway."""
    (caution,) = cautions("core", {}, Output.of(Modality.JSON, schema))
    assert told in caution


def test_parameters_of_other_apis_are_not_sent() -> None:
    """P01: the same job with another model line is no error."""
    assert problems({"temperature": 0, "max_tokens": 64}, JSON) == []
    (caution,) = cautions("core", {"temperature": 0, "max_tokens": 64}, JSON)
    assert "temperature, max_tokens" in caution


@pytest.mark.parametrize("name", [*PROCESSORS, *(f"{name}-fast" for name in PROCESSORS)])
def test_processors_are_known(name) -> None:
    """P04: and a new one is told of, and not refused."""
    assert cautions(name, {}, JSON) == []
    assert "no processor colossal is known" in cautions("colossal", {}, JSON)[0]


@pytest.mark.parametrize(
    ("processor", "parameters", "told"),
    [
        ("core", {"advanced_settings": {"data_sources": {"pay_per_use": ["a"]}}}, "billed beside the run"),
        ("core-fast", {"advanced_settings": {"data_sources": {"free": ["a"]}}}, "without -fast"),
        ("lite", {"mcp_servers": [SERVER]}, "one tool"),
        (
            "core",
            {"source_policy": {"include_domains": ["a.org"], "exclude_domains": ["b.org"]}},
            "exclude_domains is ignored",
        ),
    ],
)
def test_what_is_likely_not_meant_is_told(processor, parameters, told) -> None:
    """P19: costs beside the run, and fields that do nothing."""
    assert any(told in caution for caution in cautions(processor, parameters, JSON))


def test_rows_of_csv_are_checked_too() -> None:
    """P06: as the schema that they are asked for with."""
    columns = [CsvColumn(name=f"c{n}", type=ColumnType.STRING) for n in range(120)]
    found = problems({}, Output.of(Modality.CSV, columns=columns))
    assert found == ["the output's schema has 121 properties, 100 are allowed"]


def test_references_are_followed_before_anything_is_counted() -> None:
    """P06: the API is told of none."""
    leaf = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    reference = {"$ref": "#/$defs/leaf"}
    output = json_of({"a": {**nested(3)}, "b": reference}, **{"$defs": {"leaf": leaf}})
    told = spec_of({}, output).told["output_schema"]["json_schema"]
    assert "$defs" not in told
    assert told["properties"]["b"]["properties"] == {"x": {"type": "string"}}
