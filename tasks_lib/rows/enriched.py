"""The input's rows with what came of them: their own columns, the answer's fields, the run's metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import orjson
import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Output
from tasks_lib.rows.answers import RESPONSE, AnswerColumn, answer_array, answer_columns
from tasks_lib.rows.values import Array

COST: Final = pa.decimal128(24, 12)
_LEAST_COST: Final = Decimal(1).scaleb(-COST.scale)
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
class RowResult:
    """What came of one row; all None if it has not been run."""

    status: str | None = None
    response_json: str | None = None  # the answer as JSON text; of modality text, a JSON string
    error: str | None = None
    cost: Decimal | None = None  # dollars; None: unknown
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    task_run_id: str | None = None
    revision_tag: str | None = None  # that the row was, or would be, run with
    revision_id: str | None = None
    citations: str | None = None  # JSON text: a list of what each field rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNames:
    """What the columns of an output are called, in order: the source's, the answer's, the metadata's."""

    columns: tuple[str, ...]
    answers: Mapping[str, str]  # field, or "response" for the whole answer -> column
    metadata: Mapping[str, str]  # field of RowResult -> column

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

    def enriched(self, batch: pa.RecordBatch, results: Sequence[RowResult]) -> pa.RecordBatch:
        """The batch with the results of its rows, which come in the same order."""
        if len(results) != batch.num_rows:
            raise ValueError(f"{len(results)} results for {batch.num_rows} rows")
        errors = [result.error for result in results]
        responses = [_response(result) for result in results]
        answers: list[Array] = []
        for name, column in self._answers:
            array, misfits = answer_array(_values(column, responses), column.type)
            answers.append(array)
            for at in misfits:
                note = f"{name} is not {column.type} and left empty here; the ledger has the whole response"
                errors[at] = "; ".join(filter(None, (errors[at], note)))
        metadata = [
            pa.array([result.status for result in results], pa.string()),
            pa.array(errors, pa.string()),
            _costs([result.cost for result in results]),
            pa.array([result.input_tokens for result in results], pa.int64()),
            pa.array([result.output_tokens for result in results], pa.int64()),
            pa.array([result.model for result in results], pa.string()),
            pa.array([result.task_run_id for result in results], pa.string()),
            *(
                pa.array([getattr(result, field) for result in results], of)
                for field, of in (*_REVISIONS.items(), *_CITATIONS.items())
                if field in self.names.metadata
            ),
        ]
        return pa.RecordBatch.from_arrays([*batch.columns, *answers, *metadata], schema=self.schema)


def _response(result: RowResult) -> JsonValue:
    if result.response_json is None:
        return None
    try:
        response: JsonValue = orjson.loads(result.response_json)
    except orjson.JSONDecodeError:
        return result.response_json
    return response


def _values(column: AnswerColumn, responses: Sequence[JsonValue]) -> Sequence[JsonValue]:
    if column.field is None:
        return responses
    return [response.get(column.field) if isinstance(response, dict) else None for response in responses]


def _costs(costs: Sequence[Decimal | None]) -> Array:
    try:
        return pa.array(costs, COST)
    except pa.ArrowInvalid:  # finer than the column; the ledger has it exactly
        return pa.array([None if cost is None else cost.quantize(_LEAST_COST) for cost in costs], COST)
