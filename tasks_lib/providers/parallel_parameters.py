"""The parameters of a run at Parallel, held against the documented limits before the first call.

`input` (text or object), `input_schema`, `output_description`, `min_confidence` and `confidence_fields` are
ours; the others go with the run under their own names.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Output
from tasks_lib.providers.parallel_spec import spec_of

PROCESSORS: Final = ("lite", "base", "core", "core2x", "pro", "ultra", "ultra2x", "ultra4x", "ultra8x")
FAST: Final = "-fast"
CONFIDENCES: Final = ("low", "medium", "high")
SENT: Final = (
    "source_policy",
    "advanced_settings",
    "mcp_servers",
    "enable_events",
    "previous_interaction_id",
    "memory_scope_key",
    "webhook",
)
"""Parameters that are fields of a run."""
OURS: Final = (
    "input",
    "input_schema",
    "output_description",
    "min_confidence",
    "confidence_fields",
    "betas",
)
_KNOWN: Final = (*SENT, *OURS)
_MOST_DOMAINS: Final = 200
_MOST_SERVERS: Final = 10
_SCOPE: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_BETA: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_FEW_TOOLS: Final = ("lite", "core")


def problems(parameters: Mapping[str, JsonValue], output: Output) -> list[str]:
    """Everything for which the API would refuse every run; nothing if there is nothing."""
    found = list(spec_of(parameters, output).problems)
    for name in parameters:
        close = get_close_matches(name, _KNOWN, n=1, cutoff=0.8)
        if name not in _KNOWN and close:
            found.append(f"there is no parameter {name}. Did you mean {close[0]}?")
    found.extend(_input(parameters))
    found.extend(_confidence(parameters))
    found.extend(_source_policy(parameters.get("source_policy")))
    found.extend(_advanced(parameters.get("advanced_settings"), parameters.get("mcp_servers")))
    found.extend(_mcp_servers(parameters.get("mcp_servers")))
    found.extend(_further(parameters))
    return found


def cautions(processor: str, parameters: Mapping[str, JsonValue], output: Output) -> list[str]:
    """What is likely not meant, though the API may take it."""
    found = list(spec_of(parameters, output).cautions)
    plain = processor.removesuffix(FAST)
    if plain not in PROCESSORS:
        found.append(f"no processor {processor} is known: {', '.join(PROCESSORS)}, and each with {FAST}")
    unsent = [name for name in parameters if name not in _KNOWN]
    if unsent:
        found.append(f"Parallel has no parameters {', '.join(unsent)}: they are not sent")
    advanced = parameters.get("advanced_settings")
    sources = advanced.get("data_sources") if isinstance(advanced, dict) else None
    if sources and processor.endswith(FAST):
        found.append("advanced_settings.data_sources is for processors without -fast only")
    if isinstance(sources, dict) and sources.get("pay_per_use"):
        found.append("sources that are paid by use are billed beside the run, and no cost of ours has them")
    policy = parameters.get("source_policy")
    if isinstance(policy, dict) and policy.get("include_domains") and policy.get("exclude_domains"):
        found.append("source_policy.exclude_domains is ignored where include_domains is given")
    if parameters.get("mcp_servers") and plain in _FEW_TOOLS:
        found.append(f"{processor} calls one tool of mcp_servers at most")
    return found


def _input(parameters: Mapping[str, JsonValue]) -> Iterator[str]:
    if parameters.get("input", "text") not in ("text", "object"):
        yield "input must be text (the prompt, which is the default) or object (the placeholders' values)"
    if not isinstance(parameters.get("input_schema", {}), dict | str):
        yield "input_schema must be a JSON Schema"
    if not isinstance(parameters.get("output_description", ""), str):
        yield "output_description must be text"


def _confidence(parameters: Mapping[str, JsonValue]) -> Iterator[str]:
    least, fields = parameters.get("min_confidence"), parameters.get("confidence_fields")
    if least is not None and least not in CONFIDENCES:
        yield f"min_confidence must be one of {', '.join(CONFIDENCES)}"
    if fields is not None and not (_strings(fields) and fields):
        yield "confidence_fields must be a list of the answer's fields"
    if fields is not None and least is None:
        yield "confidence_fields is nothing without min_confidence"


def _source_policy(told: JsonValue) -> Iterator[str]:
    if told is None:
        return
    if not isinstance(told, dict):
        yield "source_policy must have include_domains, exclude_domains or after_date"
        return
    yield from _unknown("source_policy", told, ("include_domains", "exclude_domains", "after_date"))
    count = 0
    for name in ("include_domains", "exclude_domains"):
        domains = told.get(name) or []
        if not isinstance(domains, list) or not _strings(domains):
            yield f"source_policy.{name} must be a list of domains"
            continue
        count += len(domains)
        for domain in domains:
            if not domain or re.search(r"[:?#\s]", str(domain)):
                yield f"source_policy.{name}: {domain!r} is no domain, without https:// and the like"
    if count > _MOST_DOMAINS:
        yield f"source_policy names {count} domains, {_MOST_DOMAINS} are allowed"
    after = told.get("after_date")
    if after is not None and not _is_date(after):
        yield "source_policy.after_date must be a date, YYYY-MM-DD"


def _advanced(told: JsonValue, servers: JsonValue) -> Iterator[str]:
    if told is None:
        return
    if not isinstance(told, dict):
        yield "advanced_settings must have location or data_sources"
        return
    yield from _unknown("advanced_settings", told, ("location", "data_sources"))
    location = told.get("location")
    if location is not None and not (isinstance(location, str) and _COUNTRY.fullmatch(location)):
        yield "advanced_settings.location must be a country's two letters (ISO 3166-1)"
    sources = told.get("data_sources")
    if sources is None:
        return
    if not isinstance(sources, dict):
        yield "advanced_settings.data_sources must have free or pay_per_use"
        return
    yield from _unknown("advanced_settings.data_sources", sources, ("free", "pay_per_use"))
    named = servers if isinstance(servers, list) else []
    names = {server.get("name") for server in named if isinstance(server, dict)}
    for name in ("free", "pay_per_use"):
        chosen = sources.get(name) or []
        if not _strings(chosen):
            yield f"advanced_settings.data_sources.{name} must be a list of names"
        elif isinstance(chosen, list) and any(one in names for one in chosen):
            yield f"advanced_settings.data_sources.{name} has the name of an MCP server"


def _mcp_servers(told: JsonValue) -> Iterator[str]:
    if told is None:
        return
    if not isinstance(told, list):
        yield "mcp_servers must be a list"
        return
    if len(told) > _MOST_SERVERS:
        yield f"mcp_servers has {len(told)} servers, {_MOST_SERVERS} are allowed"
    for number, server in enumerate(told):
        where = f"mcp_servers.{number}"
        if not isinstance(server, dict):
            yield f"{where} must have a name and a url"
            continue
        yield from _unknown(where, server, ("type", "name", "url", "headers", "allowed_tools"))
        if server.get("type", "url") != "url":
            yield f"{where}.type must be url"
        if not isinstance(server.get("name"), str):
            yield f"{where}.name is missing"
        if not _is_url(server.get("url")):
            yield f"{where}.url must be an address, such as https://mcp.example.com"
        headers = server.get("headers")
        if headers is not None and not (isinstance(headers, dict) and _strings(list(headers.values()))):
            yield f"{where}.headers must be texts by name"
        tools = server.get("allowed_tools")
        if tools is not None and not _strings(tools):
            yield f"{where}.allowed_tools must be a list of names"


def _further(parameters: Mapping[str, JsonValue]) -> Iterator[str]:
    if not isinstance(parameters.get("enable_events", False), bool):
        yield "enable_events must be true or false"
    if not isinstance(parameters.get("previous_interaction_id", ""), str):
        yield "previous_interaction_id must be the id of an earlier run's interaction"
    scope = parameters.get("memory_scope_key")
    if scope is not None and not (isinstance(scope, str) and _SCOPE.fullmatch(scope)):
        yield "memory_scope_key must be 1 to 128 letters, digits, hyphens and underscores"
    betas = parameters.get("betas")
    if betas is not None and not (
        isinstance(betas, list) and all(isinstance(beta, str) and _BETA.fullmatch(beta) for beta in betas)
    ):
        yield "betas must be a list of names, such as events-sse-2025-07-24"
    hook = parameters.get("webhook")
    if hook is None:
        return
    if not isinstance(hook, dict) or not _is_url(hook.get("url")):
        yield "webhook.url must be an address"
        return
    yield from _unknown("webhook", hook, ("url", "event_types"))
    if hook.get("event_types", []) not in ([], ["task_run.status"]):
        yield "webhook.event_types can be [task_run.status] only"


def _unknown(where: str, told: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    for name in told:
        if name not in known:
            yield f"{where} has no {name}: it has {', '.join(known)}"


def _strings(told: JsonValue) -> bool:
    return isinstance(told, list) and all(isinstance(one, str) for one in told)


def _is_date(told: JsonValue) -> bool:
    try:
        date.fromisoformat(told if isinstance(told, str) else "")
    except ValueError:
        return False
    return True


def _is_url(told: JsonValue) -> bool:
    try:
        parts = urlsplit(told if isinstance(told, str) else "")
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
