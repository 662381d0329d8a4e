"""One run as a request asks for it, held against every documented limit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import jsonschema_rs
import orjson

from tests.parallelserver import output_schemas, processors
from tests.parallelserver.refusals import Refused, invalid
from tests.parallelserver.settings import Settings

_KEY_MAX: Final = 16
_VALUE_MAX: Final = 512
_DOMAINS_MAX: Final = 200
_SERVERS_MAX: Final = 10
_TOTAL_ADVISED: Final = 15_000  # an older page's limit for task_spec and input together
_SCOPE: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_EVENT_TYPES: Final = frozenset({"task_run.status"})

Metadata = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A task_spec that was found good."""

    told: dict[str, Any] | None
    kind: Literal["json", "text", "auto"]
    schema: dict[str, Any] | None = None
    description: str = ""
    input_schema: Any = None
    """A validator of the input, or None."""
    characters: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run input that was found good; echo is what GET .../input gives."""

    input: str | dict[str, Any]
    processor: str
    spec: Spec
    metadata: Metadata | None
    webhook: str
    """The URL to tell, or nothing."""
    tells_progress: bool
    mcp_server: str
    """The first MCP server's name, or nothing."""
    previous: str
    warnings: tuple[dict[str, Any], ...]
    echo: dict[str, Any]


def is_billable(told: object) -> bool:
    """Whether the body is one that a price could be told for."""
    return isinstance(told, Mapping) and told.get("processor") in processors.NAMES


def spec_of(told: object, settings: Settings) -> Spec:
    """The task_spec of a request; null asks for an automatic output.

    Raises:
        Refused: 422.
    """
    if told is None:
        return Spec(told=None, kind="auto")
    if not isinstance(told, dict):
        raise invalid("task_spec", "Input should be an object")
    if told.get("output_schema") is None:
        raise invalid("task_spec.output_schema", "Field required")
    characters = _length(told)
    if characters > settings.spec_max:
        raise invalid(
            "task_spec", f"The task spec has {characters} characters of at most {settings.spec_max}"
        )
    made = Spec(
        told=told,
        kind="text",
        characters=characters,
        input_schema=_input_schema(told.get("input_schema")),
    )
    output = told["output_schema"]
    kind, json_schema, description = _schema_of(output, "task_spec.output_schema", {"json", "text", "auto"})
    if kind == "json":
        warnings = tuple(output_schemas.warnings_of(json_schema, settings))
        return _changed(made, kind="json", schema=json_schema, warnings=warnings)
    return _changed(made, kind="auto" if kind == "auto" else "text", description=description)


def _changed(
    spec: Spec,
    *,
    kind: Literal["json", "text", "auto"],
    schema: dict[str, Any] | None = None,
    description: str = "",
    warnings: tuple[str, ...] = (),
) -> Spec:
    return Spec(
        told=spec.told,
        kind=kind,
        schema=schema,
        description=description,
        input_schema=spec.input_schema,
        characters=spec.characters,
        warnings=warnings,
    )


def _schema_of(told: object, where: str, kinds: set[str]) -> tuple[str, dict[str, Any], str]:
    """Kind, JSON schema and description; a bare string is a text schema, and a type may be left out."""
    if isinstance(told, str):
        return "text", {}, told
    if not isinstance(told, dict):
        raise invalid(where, "Input should be an object or a string")
    kind = told.get("type", "json" if "json_schema" in told else "text")
    if kind not in kinds:
        raise invalid(f"{where}.type", f"Input should be one of {', '.join(sorted(kinds))}")
    json_schema, description = told.get("json_schema", {}), told.get("description") or ""
    if kind == "json" and not (isinstance(json_schema, dict) and json_schema):
        raise invalid(f"{where}.json_schema", "Field required, an object")
    if not isinstance(description, str):
        raise invalid(f"{where}.description", "Input should be a string")
    return kind, json_schema, description


def _input_schema(told: object) -> Any:
    if told is None:
        return None
    kind, json_schema, _ = _schema_of(told, "task_spec.input_schema", {"json", "text"})
    if kind != "json":
        return None
    try:
        return jsonschema_rs.validator_for(json_schema)
    except (ValueError, jsonschema_rs.ReferencingError):
        raise invalid("task_spec.input_schema.json_schema", "Invalid JSON schema") from None


def asked_of(told: object, settings: Settings, *, default: Spec | None = None) -> Asked:
    """The run that a body, or one of a group's inputs, asks for; its own task_spec goes before the default.

    Raises:
        Refused: 422, or 403 for a processor.
    """
    if not isinstance(told, dict):
        raise invalid("body", "Input should be an object")
    given, processor = told.get("input"), told.get("processor")
    if not isinstance(given, str | dict):
        raise invalid("input", "Field required, a string or an object")
    if not isinstance(processor, str):
        raise invalid("processor", "Field required, a string")
    own = told.get("task_spec")
    spec = default if own is None and default is not None else spec_of(own, settings)
    total = spec.characters + (len(given) if isinstance(given, str) else _length(given))
    if total > settings.total_max:
        raise invalid("input", f"Task spec and input have {total} characters of at most {settings.total_max}")
    metadata = metadata_of(told.get("metadata"))
    servers = _servers(told.get("mcp_servers"))
    _check_sources(told.get("source_policy"))
    _check_advanced(told.get("advanced_settings"), processor, servers)
    scope, events = told.get("memory_scope_key"), told.get("enable_events")
    if scope is not None and not (isinstance(scope, str) and _SCOPE.fullmatch(scope)):
        raise invalid(
            "memory_scope_key", "String should be 1 to 128 letters, digits, hyphens and underscores"
        )
    if not isinstance(events, bool | None):
        raise invalid("enable_events", "Input should be a boolean")
    previous = told.get("previous_interaction_id")
    if not isinstance(previous, str | None):
        raise invalid("previous_interaction_id", "Input should be a string")
    webhook = _webhook(told.get("webhook"))
    if processor not in processors.NAMES or processor in settings.forbid.split("+"):
        raise Refused(403)
    return Asked(
        input=given,
        processor=processor,
        spec=spec,
        metadata=metadata,
        webhook=webhook,
        tells_progress=processors.tells_progress(processor) if events is None else events,
        mcp_server=servers[0] if servers else "",
        previous=previous or "",
        warnings=tuple(_warnings(given, processor, spec, total)),
        echo=_echo(told, spec),
    )


def _warnings(given: object, processor: str, spec: Spec, total: int) -> list[dict[str, Any]]:
    told = [_warning("spec_validation_warning", text) for text in spec.warnings]
    advised = processors.fields_max(processor)
    if spec.schema is not None and len(spec.schema["properties"]) > advised:
        told.append(_warning("spec_validation_warning", f"{processor} is good for {advised} output fields"))
    if total > _TOTAL_ADVISED:
        told.append(_warning("spec_validation_warning", f"Task spec and input have {total} characters"))
    if spec.input_schema is not None:
        wrong = [error.message for error in spec.input_schema.iter_errors(given)]
        if wrong:
            text = "The input does not meet the input schema"
            told.append(_warning("input_validation_warning", text, {"errors": wrong}))
    return told


def _warning(kind: str, message: str, detail: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": kind, "message": message, "detail": detail}


def metadata_of(told: object) -> Metadata | None:
    """The metadata of a run or a group.

    Raises:
        Refused: 422.
    """
    if told is None:
        return None
    if not isinstance(told, dict):
        raise invalid("metadata", "Input should be an object")
    for key, value in told.items():
        if len(key) > _KEY_MAX:
            raise invalid(f"metadata.{key}", f"Keys have at most {_KEY_MAX} characters")
        if not isinstance(value, str | int | float | bool):
            raise invalid(f"metadata.{key}", "Values are strings, numbers or booleans")
        if len(str(value)) > _VALUE_MAX:
            raise invalid(f"metadata.{key}", f"Values have at most {_VALUE_MAX} characters")
    return told


def _check_sources(told: object) -> None:
    if told is None:
        return
    if not isinstance(told, dict):
        raise invalid("source_policy", "Input should be an object")
    count = 0
    for name in ("include_domains", "exclude_domains"):
        domains = told.get(name) or []
        if not _strings(domains):
            raise invalid(f"source_policy.{name}", "Input should be a list of strings")
        for domain in domains:
            if not domain or any(mark in domain for mark in (":", "?", "#", " ")):
                raise invalid(f"source_policy.{name}", f"{domain!r} is no domain, path prefix or suffix")
        count += len(domains)
    if count > _DOMAINS_MAX:
        raise invalid("source_policy", f"{count} domains of at most {_DOMAINS_MAX}")
    after = told.get("after_date")
    if after is None:
        return
    try:
        date.fromisoformat(after)
    except (TypeError, ValueError):
        raise invalid("source_policy.after_date", "Input should be a date, YYYY-MM-DD") from None


def _check_advanced(told: object, processor: str, servers: list[str]) -> None:
    if told is None:
        return
    if not isinstance(told, dict):
        raise invalid("advanced_settings", "Input should be an object")
    location = told.get("location")
    if location is not None and not (isinstance(location, str) and _COUNTRY.fullmatch(location)):
        raise invalid("advanced_settings.location", "Input should be an ISO 3166-1 alpha-2 code")
    sources = told.get("data_sources")
    if sources is None:
        return
    where = "advanced_settings.data_sources"
    if not isinstance(sources, dict):
        raise invalid(where, "Input should be an object")
    for name in ("free", "pay_per_use"):
        chosen = sources.get(name) or []
        if not _strings(chosen):
            raise invalid(f"{where}.{name}", "Input should be a list of strings")
        if chosen and processors.is_fast(processor):
            raise invalid(where, "Data sources are for standard processors only")
        if set(chosen) & set(servers):
            raise invalid(f"{where}.{name}", "A data source has the name of an MCP server")


def _servers(told: object) -> list[str]:
    if told is None:
        return []
    if not isinstance(told, list):
        raise invalid("mcp_servers", "Input should be a list")
    if len(told) > _SERVERS_MAX:
        raise invalid("mcp_servers", f"{len(told)} servers of at most {_SERVERS_MAX}")
    names = []
    for number, server in enumerate(told):
        where = f"mcp_servers.{number}"
        if not isinstance(server, dict):
            raise invalid(where, "Input should be an object")
        if server.get("type", "url") != "url":
            raise invalid(f"{where}.type", "Input should be 'url'")
        name, headers, tools = server.get("name"), server.get("headers"), server.get("allowed_tools")
        if not isinstance(name, str):
            raise invalid(f"{where}.name", "Field required, a string")
        if not _is_url(server.get("url")):
            raise invalid(f"{where}.url", "Field required, a URL")
        if headers is not None and not (isinstance(headers, dict) and _strings(list(headers.values()))):
            raise invalid(f"{where}.headers", "Input should be an object of strings")
        if tools is not None and not _strings(tools):
            raise invalid(f"{where}.allowed_tools", "Input should be a list of strings")
        names.append(name)
    return names


def _webhook(told: object) -> str:
    """The URL to tell of the end; nothing when no event type is asked for, which is the default."""
    if told is None:
        return ""
    if not isinstance(told, dict):
        raise invalid("webhook", "Input should be an object")
    url, kinds = told.get("url"), told.get("event_types", [])
    if not (isinstance(url, str) and _is_url(url)):
        raise invalid("webhook.url", "Field required, a URL")
    if not _strings(kinds) or not set(kinds) <= _EVENT_TYPES:
        raise invalid("webhook.event_types", "Input should be a list of 'task_run.status'")
    return url if kinds else ""


def _echo(told: dict[str, Any], spec: Spec) -> dict[str, Any]:
    made = {**told, "task_spec": spec.told}
    servers = made.get("mcp_servers")
    if servers:  # their headers hold secrets and are never given back
        made["mcp_servers"] = [{name: of for name, of in s.items() if name != "headers"} for s in servers]
    return made


def _strings(told: object) -> bool:
    return isinstance(told, list) and all(isinstance(one, str) for one in told)


def _is_url(told: object) -> bool:
    if not isinstance(told, str):
        return False
    try:
        parts = urlsplit(told)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _length(told: object) -> int:
    return len(orjson.dumps(told).decode())
