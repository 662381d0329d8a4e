"""Prints the JSON Schemas of the files that users write, and of the record of a run."""

import json

from tasks_lib.cli.forms import SchemaOf
from tasks_lib.cli.words import tell
from tasks_lib.configs import job_schema, prices_schema, providers_schema, task_schema
from tasks_lib.ledger.record import record_schema

_SCHEMAS = {
    SchemaOf.JOB: job_schema,
    SchemaOf.TASK: task_schema,
    SchemaOf.PROVIDERS: providers_schema,
    SchemaOf.PRICES: prices_schema,
    SchemaOf.TASK_RUN: record_schema,
}


def show_schema(of: SchemaOf) -> None:
    """Print the JSON Schema of a kind of file."""
    tell(json.dumps(_SCHEMAS[of](), indent=2, ensure_ascii=False))
