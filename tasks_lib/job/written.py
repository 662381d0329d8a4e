"""Whether an output is as it would be written now, so that a finished job need not write it again."""

from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.fingerprint import JsonValue, content_hash
from tasks_lib.domain.job import Destination, Job
from tasks_lib.rows import OpenSource, version_of_output


def stamp_of(job: Job, *, source: OpenSource, destination: Destination, limit: int | None) -> str | None:
    """What names all that an output depends on but the ledger's runs, the file as it lies there included.

    32 hexadecimal digits; None where files cannot tell: a query's rows, a table in a database, a file that is
    not there.
    """
    if source.version is None or destination.format == "duckdb":
        return None
    output = version_of_output(destination)
    if output is None:
        return None
    task, rows = job.task, job.source
    revisions: list[JsonValue] = [f"{one.fingerprint} {one.weight} {one.tag}" for one in task.revisions]
    return content_hash(
        {
            "definition": dict(job.definition),
            "source": [
                *(str(rows.path), rows.format, rows.key, rows.delimiter, rows.quote, rows.encoding),
                rows.file_column,
            ],
            "inputs": dict(job.inputs),
            "revisions": revisions,
            "chosen": [job.seed, limit, _assignment(job.assignment)],
            "output": [task.output.modality.value, task.output.schema, destination.format],
            "files": [source.version, output],
        }
    )


def _assignment(assignment: Assignment) -> list[JsonValue]:
    pins = (assignment.revision_id, assignment.revision_tag)
    former: list[JsonValue] = [f"{name} {tag}" for name, tag in sorted(assignment.former_ids.items())]
    return [*(pin.source if pin is not None else None for pin in pins), list(assignment.compare), former]
