"""What a run finds out: deterministic from its input, as the schema asks, with its basis."""

from typing import Any, Final
from zlib import crc32

import orjson

from tests.llmserver.answers import row_id_of
from tests.llmserver.instances import instance_of
from tests.parallelserver.asked import Asked

AUTO_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "key_findings": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["summary", "key_findings"],
    "additionalProperties": False,
}
"""What an automatic output looks like."""


def subject_of(given: str | dict[str, Any]) -> str:
    """The row that the input names (`row_id: 7`), or a hash of the input."""
    return row_id_of(orjson.dumps(given))


def output_of(asked: Asked, *, is_low: bool, of_elements: bool) -> dict[str, Any]:
    """The output of a completed run; of_elements gives the elements of lists a basis of their own."""
    subject = subject_of(asked.input)
    made: dict[str, Any]
    if asked.spec.kind == "text":
        text = f"row {subject}: {asked.spec.description}".rstrip(": ")
        made = {"type": "text", "content": text, "basis": [_basis("output", subject, is_low=is_low)]}
    else:
        schema = asked.spec.schema or AUTO_SCHEMA
        content = instance_of(schema, subject)
        fields = list(_fields(content, of_elements=of_elements))
        basis = [_basis(field, subject, is_low=is_low) for field in fields]
        made = {"type": "json", "content": content, "basis": basis}
        if asked.spec.kind == "auto":
            made["output_schema"] = schema
    if asked.mcp_server:
        made["mcp_tool_calls"] = [_tool_call(asked.mcp_server, subject)]
    return made


def _fields(content: dict[str, Any], *, of_elements: bool) -> list[str]:
    fields = []
    for name, value in content.items():
        fields.append(name)
        if of_elements and isinstance(value, list):
            fields.extend(f"{name}.{number}" for number in range(len(value)))
    return fields


def _basis(field: str, subject: str, *, is_low: bool) -> dict[str, Any]:
    level = "low" if is_low else ("high", "medium")[crc32(f"{subject}.{field}".encode()) % 2]
    citation = {
        "url": f"https://example.org/{crc32(subject.encode())}/{field}",
        "title": f"On {field}",
        "excerpts": [f"An excerpt that speaks for {field}."],
    }
    return {
        "field": field,
        "reasoning": f"Found for {field} of row {subject}.",
        "citations": [] if is_low else [citation],
        "confidence": level,
    }


def _tool_call(server: str, subject: str) -> dict[str, Any]:
    arguments = orjson.dumps({"row": subject}).decode()
    return {
        "tool_call_id": f"call_{crc32(subject.encode())}",
        "server_name": server,
        "tool_name": "look_up",
        "arguments": arguments,
        "content": "Found.",
        "error": "",
    }
