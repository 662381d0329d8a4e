"""The input's rows with what came of them: their own columns, the answer's fields, the run's metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Output
from tasks_lib.rows.answers import RESPONSE, answer_array, answer_columns
from tasks_lib.rows.values import Array

COST: Final = pa.decimal128(24, 12)
_METADATA: Final[Mapping[str, pa.DataType]] = {
    "status": pa.string(),
    "error": pa.string(),
    "cost": COST,
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "model": pa.string(),
    "task_run_id": pa.string(),
}
_CITATIONS: Final[Mapping[str, pa.DataType]] = {"citations": pa.string()}
_REVISIONS: Final[Mapping[str, pa.DataType]] = {"revision_tag": pa.string(), "revision_id": pa.string()}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNames:
    """What the columns of an output are called, in order: the source's, the answer's, the metadata's."""

    columns: tuple[str, ...]
    answers: Mapping[str, str]  # field, or "response" for the whole answer -> column
    metadata: Mapping[str, str]  # what of a row's result -> column

    @property
    def all(self) -> tuple[str, ...]:
        """Every column."""
        return (*self.columns, *self.answers.values(), *self.metadata.values())


def output_names(
    columns: Sequence[str], output: Output, *, tell_revisions: bool = False, tell_citations: bool = False
) -> OutputNames:
    """The names of an output's columns, different from one another also to SQL, which ignores case.

    The source's stay what they are. A field of the answer that has the name of one, or of a metadata column,
    becomes `answer_<field>`; metadata columns that the source has (it was an output once) get a number.
    """
    taken = {name.casefold() for name in columns}
    told = _told(tell_revisions=tell_revisions, tell_citations=tell_citations)
    reserved = {f"rowmill_{field}" for field in told}
    answers: dict[str, str] = {}
    for column in answer_columns(output):
        field = RESPONSE if column.field is None else column.field
        clashes = not field.strip() or field.casefold() in taken | reserved
        answers[field] = _free(f"answer_{field}" if clashes else field, taken)
        taken.add(answers[field].casefold())
    metadata: dict[str, str] = {}
    for field in told:
        metadata[field] = _free(f"rowmill_{field}", taken)
        taken.add(metadata[field].casefold())
    return OutputNames(columns=tuple(columns), answers=answers, metadata=metadata)


def _told(*, tell_revisions: bool, tell_citations: bool) -> Mapping[str, pa.DataType]:
    """The metadata columns."""
    return {
        **_METADATA,
        **(_REVISIONS if tell_revisions else {}),
        **(_CITATIONS if tell_citations else {}),
    }


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that makes it new."""
    if name.casefold() not in taken:
        return name
    number = 2
    while f"{name}_{number}".casefold() in taken:
        number += 1
    return f"{name}_{number}"


class Enrichment:
    """How record batches of one source become batches of one output."""

    def __init__(
        self,
        schema: pa.Schema,
        output: Output,
        *,
        tell_revisions: bool = False,
        tell_citations: bool = False,
    ) -> None:
        """Decide the columns; `schema` is that of the source."""
        self.names = output_names(
            schema.names, output, tell_revisions=tell_revisions, tell_citations=tell_citations
        )
        told = _told(tell_revisions=tell_revisions, tell_citations=tell_citations)
        self._answers = tuple(zip(self.names.answers.values(), answer_columns(output), strict=True))
        self.schema = pa.schema(
            [
                *schema,
                *(pa.field(name, column.type) for name, column in self._answers),
                *(pa.field(self.names.metadata[field], of) for field, of in told.items()),
            ]
        )

    def enriched(self, batch: pa.RecordBatch, results: pa.Table) -> pa.RecordBatch:
        """The batch with the results of its rows, which come in the same order.

        They have `response`, the answer as JSON text (of modality text, a JSON string), and the metadata
        columns in their types, by the names of their fields. NULL is what is not known.
        """
        if len(results) != batch.num_rows:
            raise ValueError(f"{len(results)} results for {batch.num_rows} rows")
        responses = _responses(results.column("response").to_pylist())
        objects = [response if isinstance(response, dict) else {} for response in responses]
        answers: list[Array] = []
        notes: dict[int, list[str]] = {}
        for name, column in self._answers:
            field = column.field
            values = responses if field is None else [found.get(field) for found in objects]
            array, misfits = answer_array(values, column.type)
            answers.append(array)
            for at in misfits:
                note = f"{name} is not {column.type} and left empty here; the ledger has the whole response"
                notes.setdefault(at, []).append(note)
        metadata = {field: results.column(field).combine_chunks() for field in self.names.metadata}
        if notes:
            errors = metadata["error"].to_pylist()
            for at, more in notes.items():
                errors[at] = "; ".join(filter(None, (errors[at], *more)))
            metadata["error"] = pa.array(errors, pa.string())
        return pa.RecordBatch.from_arrays([*batch.columns, *answers, *metadata.values()], schema=self.schema)


def _responses(texts: Sequence[str | None]) -> list[JsonValue]:
    """What the texts spell; a text that is no JSON stays what it is."""
    try:
        return [None if text is None else orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        return [None if text is None else _response(text) for text in texts]


def _response(text: str) -> JsonValue:
    try:
        response: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return response
