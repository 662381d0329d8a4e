"""Schemas and inputs that the tests ask with."""

from tests.parallelserver.processors import price

SCHEMA = {
    "type": "object",
    "properties": {
        "row_id": {"type": "string"},
        "label": {"type": "string", "enum": ["good", "bad"]},
        "score": {"type": ["integer", "null"]},
        "names": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["row_id", "label", "score", "names"],
    "additionalProperties": False,
}
SPEC = {"output_schema": {"type": "json", "json_schema": SCHEMA}}
CORE_MILLI_USD = price("core")


def run_input(row, **more):
    """What a group takes for a row."""
    return {
        "input": {"row_id": str(row), "country": "France"},
        "processor": "core",
        "metadata": {"row_key": str(row)},
        **more,
    }


def spec_of(**properties):
    """A task_spec that asks for these properties and nothing else."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"output_schema": {"type": "json", "json_schema": schema}}
