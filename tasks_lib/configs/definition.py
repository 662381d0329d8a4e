"""The whole of a job in JSON, as the ledger keeps it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Final

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import FileInput, FileSources
from tasks_lib.domain.job import Destination, Job, Limits, Source, Webhook
from tasks_lib.domain.output import Output
from tasks_lib.domain.overrides import RowOverrides
from tasks_lib.domain.place import Storage
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.spread import Spread
from tasks_lib.domain.stored_answers import StoredAnswers
from tasks_lib.domain.task import ModelChoice, Revision, Task
from tasks_lib.domain.template import Template

_LOGIN: Final = re.compile(r"(?<=://)[^/\s@'\"]*(?=@)")
_PASSWORD: Final = re.compile(r"(?i)\b(password|secret|token|key_id)(\s*=?\s*)('[^']*'|[^\s;,)']+)")


def definition_of(job: Job) -> Mapping[str, JsonValue]:
    """Everything that decides what a batch of this job does, with its defaults, and no login.

    Keys are called as in the job file; the task stands in full in place of its path.
    """
    labels = job.labels
    return {
        "job": job.name,
        "task": _task(job.task),
        "source": _source(job.source),
        "inputs": dict(job.inputs),
        **_files(job.files),
        "reporting_group": _text(labels.reporting_group),
        "reference": _text(labels.reference),
        "context_id": _text(labels.context_id),
        "metadata": {name: template.source for name, template in labels.metadata.items()},
        "user": _text(labels.user),
        "carry": [*sorted(labels.carry)],
        "credits_per_dollar": _dollars(job.credits_per_dollar),
        "webhook": _webhook(job.webhook),
        "limits": _limits(job.limits),
        "retries": _retries(job.retries),
        "ledger": str(job.ledger),
        "output": _destination(job.output),
        "expected": dict(job.expected),
        "revision_id": _text(job.assignment.revision_id),
        "revision_tag": _text(job.assignment.revision_tag),
        "compare": list(job.assignment.compare),
        "seed": job.seed,
        "override": _row_overrides(job.overrides),
        "stored_answers": _stored_answers(job.stored_answers),
        "use_fallback_model": _text(job.use_fallback_model),
        "serve": job.serve,
        "team_ledger": job.team_ledger,
        "workers": job.workers,
        **_spread(job.spread),
        "identical_rows": job.identical_rows,
    }


def _spread(spread: Spread | None) -> Mapping[str, JsonValue]:
    if spread is None:
        return {}
    return {
        "spread": {
            "runner": spread.runner,
            "address": spread.address,
            "host": spread.host,
            "port": spread.port,
            "advertise": list(spread.advertise),
            "tickets": str(spread.tickets) if spread.tickets is not None else None,
        }
    }


def without_logins(text: str) -> str:
    """A query or address without what it logs in with."""
    return _PASSWORD.sub(r"\1\2***", _LOGIN.sub("***", text))


def _task(task: Task) -> Mapping[str, JsonValue]:
    return {
        "task": task.name,
        "description": task.description,
        "output": _output(task.output),
        "revisions": [_revision(revision) for revision in task.revisions],
        **_file_input(task.file_input),
        "input_processors": [
            {
                "param_name": step.param_name,
                "input_processor": step.input_processor,
                "config": dict(step.config),
            }
            for step in task.processors
        ],
    }


def _file_input(told: FileInput) -> Mapping[str, JsonValue]:
    return {
        "file_input_mode": told.mode.value,
        "file_required": told.required,
        "max_file_bytes": told.max_bytes,
    }


def _files(told: FileSources) -> Mapping[str, JsonValue]:
    return {
        "files": list(told.columns),
        "file_folders": [str(folder) for folder in told.folders],
        "allow_urls": list(told.hosts),
        "allow_private_addresses": told.allow_private_addresses,
    }


def _output(output: Output) -> Mapping[str, JsonValue]:
    return {
        "modality": output.modality.value,
        "schema": output.schema,
        "columns": [
            {
                "name": column.name,
                "type": column.type.value,
                "nullable": column.nullable,
                "description": column.description,
            }
            for column in output.columns
        ],
        "min_rows": output.min_rows,
        "max_rows": output.max_rows,
        "file_type": output.file_type,
        "coerce": output.coerce,
    }


def _revision(revision: Revision) -> Mapping[str, JsonValue]:
    primary, *fallback = _models(revision.models)
    return {
        "tag": revision.tag,
        "weight": revision.weight,
        "fingerprint": revision.fingerprint,
        "system_prompt": _text(revision.system_prompt),
        "user_prompt": revision.user_prompt.source,
        **primary,
        "fallback": list(fallback),
        "fallback_on": [*sorted(kind.value for kind in revision.fallback_on - {FailureKind.CIRCUIT_OPEN})],
    }


def _models(choices: Sequence[ModelChoice]) -> list[Mapping[str, JsonValue]]:
    return [{"model": str(choice.model), "parameters": dict(choice.parameters)} for choice in choices]


def _source(source: Source) -> Mapping[str, JsonValue]:
    return {
        "path": None if source.path is None else str(source.path),
        "query": None if source.query is None else without_logins(source.query),
        "format": source.format,
        "key": source.key,
        "delimiter": source.delimiter,
        "quote": source.quote,
        "encoding": source.encoding,
        **_of_files(source),
    }


def _of_files(source: Source) -> Mapping[str, JsonValue]:
    """What only sources of several files say, or that are elsewhere; else a definition stays as it was."""
    told: dict[str, JsonValue] = {}
    if source.file_column is not None:
        told["file_column"] = source.file_column
    if source.empty != Source().empty:
        told["empty"] = source.empty
    return {**told, **_storage(source.storage)}


def _storage(storage: Storage) -> Mapping[str, JsonValue]:
    usual = asdict(Storage())
    changed: dict[str, JsonValue] = {
        name: value for name, value in asdict(storage).items() if value != usual[name]
    }
    return {"storage": changed} if changed else {}


def _destination(output: Destination | None) -> Mapping[str, JsonValue] | None:
    if output is None:
        return None
    told = {"path": str(output.path), "format": output.format, "table": output.table}
    return {**told, **_storage(output.storage)}


def _webhook(webhook: Webhook | None) -> Mapping[str, JsonValue] | None:
    if webhook is None:
        return None
    # Many services' addresses are secrets by their paths.
    return {
        "url": "/".join((*webhook.url.split("/")[:3], "…")),
        "secret": webhook.secret,
        "events": [*sorted(webhook.events)],
    }


def _limits(limits: Limits) -> Mapping[str, JsonValue]:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "input_tokens_per_minute": limits.input_tokens_per_minute,
        "output_tokens_per_minute": limits.output_tokens_per_minute,
        "requests_per_day": limits.requests_per_day,
        "tokens_per_day": limits.tokens_per_day,
        "in_flight": limits.in_flight,
        "max_cost": _dollars(limits.max_cost),
        "max_cost_per_group": _dollars(limits.max_cost_per_group),
        "max_cost_per_day": _dollars(limits.max_cost_per_day),
        "max_failures": limits.max_failures,
    }


def _dollars(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _retries(retries: Retries) -> Mapping[str, JsonValue]:
    return {
        "rate_limited": retries.rate_limited,
        "transient": retries.transient,
        "content": retries.content,
        "wait_initial": retries.wait_initial,
        "wait_max": retries.wait_max,
        "on_ambiguous": retries.on_ambiguous,
    }


def _row_overrides(overrides: RowOverrides) -> Mapping[str, JsonValue]:
    """What rows change for themselves; what the job changes for all of them stands in the task."""
    return {
        "model": _text(overrides.model),
        "provider": _text(overrides.provider),
        "response_format": _text(overrides.response_format),
        "json_schema": overrides.json_schema,
    }


def _stored_answers(stored: StoredAnswers | None) -> JsonValue:
    if stored is None:
        return False
    return {"max_age_seconds": None if stored.max_age is None else stored.max_age.total_seconds()}


def _text(template: Template | None) -> str | None:
    return None if template is None else template.source
