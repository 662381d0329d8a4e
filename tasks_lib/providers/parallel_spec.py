"""What a run at Parallel is asked to answer: its `task_spec`, held against the documented limits.

https://docs.parallel.ai/task-api/guides/specify-a-task tells them; where two pages differ the lower limit is
worth a word and the higher one is an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output
from tasks_lib.providers.schema_subset import Subset, convert

SUBSET: Final = Subset(
    keywords=frozenset(
        [
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "anyOf",
            "enum",
            "description",
        ]
    ),
    object_root=True,
    recursive=False,
)
LONGEST_SPEC: Final = 15_000  # characters
LONGEST_RUN: Final = 25_000  # characters of specification and input
ADVISED_RUN: Final = 15_000  # characters of both, as an older page has it
_MOST_LEVELS: Final = 5  # of objects and arrays within one another
_ADVISED_LEVELS: Final = 3
_MOST_PROPERTIES: Final = 100
_MOST_ENUM_VALUES: Final = 500
_LARGE_ENUM: Final = 250  # values, beyond which their characters count
_LONGEST_LARGE_ENUM: Final = 7_500  # characters
_GIVEN_ANYWAY: Final = frozenset(
    ["citations", "confidence", "evidence", "reasoning", "source", "sources", "source_urls"]
)
_AUTO: Final = {"type": "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A task_spec, what of the output's schema it does not say, and what is wrong or doubtful about it."""

    told: Mapping[str, JsonValue]
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def spec_of(parameters: Mapping[str, JsonValue], output: Output) -> Spec:
    """The task_spec for an output, and an `input_schema` if the parameters have one."""
    told, lost, problem = _output_schema(parameters, output)
    spec: dict[str, Any] = {"output_schema": told}
    input_schema = parameters.get("input_schema")
    if input_schema is not None:
        spec["input_schema"] = _wrapped(input_schema)
    problems = [problem] if problem else []
    cautions: list[str] = []
    schema = told.get("json_schema")
    if isinstance(schema, dict):
        seen = _Seen.of(schema)
        problems.extend(seen.problems())
        cautions.extend(seen.cautions())
    characters = len(orjson.dumps(spec).decode())
    if characters > LONGEST_SPEC:
        problems.append(f"the output's schema makes a task_spec of {characters} of {LONGEST_SPEC} characters")
    return Spec(told=spec, lost=lost, problems=tuple(problems), cautions=tuple(cautions))


def _output_schema(
    parameters: Mapping[str, JsonValue], output: Output
) -> tuple[Mapping[str, Any], tuple[str, ...], str | None]:
    """The output_schema, what it does not say, and why there is none."""
    described = parameters.get("output_description")
    schema = schema_asked(output)
    if schema is not None:
        converted = convert(schema, SUBSET)
        if converted.schema is None:
            return _AUTO, converted.lost, f"the output's schema cannot be told: {', '.join(converted.lost)}"
        return {"type": "json", "json_schema": converted.schema}, converted.lost, None
    if output.modality is Modality.JSON:
        return _AUTO if described is None else {**_AUTO, "description": described}, (), None
    words = [word for word in (described, form_in_words(output)) if isinstance(word, str)]
    return ({"type": "text", "description": "\n\n".join(words)} if words else {"type": "text"}), (), None


def _wrapped(schema: JsonValue) -> JsonValue:
    """A schema as the API wants it: bare JSON Schema gets its envelope, an envelope and a text stay."""
    if isinstance(schema, dict) and "json_schema" not in schema and schema.get("type") != "text":
        return {"type": "json", "json_schema": schema}
    return schema


@dataclass(slots=True)
class _Seen:
    """What a walk through a schema has found."""

    has_properties: bool = False
    levels: int = 0
    properties: int = 0
    enum_values: int = 0
    longest_enum: int = 0  # characters of the longest large enum
    has_optional: bool = False
    has_open_objects: bool = False
    given_anyway: tuple[str, ...] = ()

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "_Seen":
        seen = cls(has_properties=isinstance(schema.get("properties"), dict))
        seen.walk(schema, level=1)
        return seen

    def walk(self, node: object, *, level: int) -> None:
        """Count a part of the schema, at so many levels of objects and arrays."""
        if isinstance(node, list):
            for part in node:
                self.walk(part, level=level)
            return
        if not isinstance(node, dict):
            return
        values = node.get("enum")
        if isinstance(values, list):
            self.enum_values += len(values)
            if len(values) > _LARGE_ENUM:
                self.longest_enum = max(self.longest_enum, sum(len(str(value)) for value in values))
        properties = node.get("properties")
        is_object = isinstance(properties, dict) or node.get("type") == "object"
        if is_object or "items" in node:
            self.levels = max(self.levels, level)
            level += 1
        if is_object and node.get("additionalProperties") is not False:
            self.has_open_objects = True
        if isinstance(properties, dict):
            self.properties += len(properties)
            required = node.get("required")
            named = set(required) if isinstance(required, list) else set()
            self.has_optional = self.has_optional or not properties.keys() <= named
            self.given_anyway += tuple(sorted(_GIVEN_ANYWAY & properties.keys()))
            for part in properties.values():
                self.walk(part, level=level)
        self.walk(node.get("items"), level=level)
        self.walk(node.get("anyOf"), level=level)

    def problems(self) -> Iterator[str]:
        """What the API answers with an error."""
        if not self.has_properties:
            yield "the output's schema must be an object with properties"
        if self.levels > _MOST_LEVELS:
            yield f"the output's schema is {self.levels} levels deep, {_MOST_LEVELS} are allowed"
        if self.properties > _MOST_PROPERTIES:
            yield f"the output's schema has {self.properties} properties, {_MOST_PROPERTIES} are allowed"
        if self.enum_values > _MOST_ENUM_VALUES:
            yield f"the output's schema has {self.enum_values} enum values, {_MOST_ENUM_VALUES} are allowed"
        if self.longest_enum > _LONGEST_LARGE_ENUM:
            yield (
                f"an enum of more than {_LARGE_ENUM} values may have {_LONGEST_LARGE_ENUM} characters, "
                f"not {self.longest_enum}"
            )

    def cautions(self) -> Iterator[str]:
        """What the API warns of."""
        if self.levels > _ADVISED_LEVELS:
            yield f"the output's schema is {self.levels} levels deep; one page allows {_ADVISED_LEVELS} only"
        if self.has_optional:
            yield "not all properties of the output's schema are required"
        if self.has_open_objects:
            yield "the output's schema has objects without additionalProperties: false"
        if self.given_anyway:
            yield f"every answer has these anyway, as citations: {', '.join(self.given_anyway)}"
