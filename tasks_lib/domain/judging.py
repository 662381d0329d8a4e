"""Whether a reply is the answer that was asked for."""

import re
from collections.abc import Sequence
from typing import Final

import orjson

from tasks_lib.domain.coercion import Coerced, coerced
from tasks_lib.domain.csv_answer import NoRows, Row, csv_rows, typed_row
from tasks_lib.domain.csv_columns import ROWS
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, canonical_json
from tasks_lib.domain.output import Answer, Finish, Modality, Output, Reply, first_line
from tasks_lib.domain.schema_errors import can_be_explained, first_error, place

_SHOWN: Final = 2_000  # characters of a rejected answer that are kept for the reader
_TOLD: Final = 300  # characters of what a model, or a validator, says
_SURELY_WRITABLE: Final = 250  # levels; orjson reads 1,024 and writes 254, jsonschema_rs compares 255
_CUT: Final = "cut at the token limit"
_MARKDOWN_FENCE: Final = re.compile(r"```(?:markdown|md)[ \t]*\n(.*)```", re.DOTALL | re.IGNORECASE)


def judge(output: Output, reply: Reply) -> Answer | Failure:
    """The answer that a reply holds, or why it holds none, in words short enough to send back.

    The value of CSV is a list of objects, one for each row; that of PDF is the document's Markdown; a picture
    or recording has none, but its media, and so has a document that comes as a file.
    """
    if reply.finish is Finish.REFUSED:
        return _not(FailureKind.REFUSED, _cut(reply.text, _TOLD) or "the model declined", reply)
    verdict = _verdict(output, reply)
    if isinstance(verdict, Answer):
        return verdict
    if reply.finish is Finish.LENGTH:
        return _not(FailureKind.LENGTH, "the answer reached the token limit before its end", reply)
    return _not(FailureKind.INVALID_OUTPUT, verdict, reply)


def _verdict(output: Output, reply: Reply) -> Answer | str:
    """The answer, or what is wrong with it."""
    if output.modality.is_media:
        return _media(output, reply)
    if output.modality is Modality.PDF and reply.media is not None and reply.media.content:
        return Answer(value=None, media=reply.media)
    if output.modality in {Modality.TEXT, Modality.PDF}:
        return _prose(output, reply)
    if reply.finish is Finish.LENGTH:  # whole by chance, and not what the model wanted to say
        return _CUT
    text = _unfenced(reply.text)
    if output.modality is Modality.JSON:
        return _json(output, text)
    return _csv(output, text)


def _media(output: Output, reply: Reply) -> Answer | str:
    if reply.media is not None and reply.media.content:
        return Answer(value=None, media=reply.media)
    what = "picture" if output.modality is Modality.IMAGE else "recording"
    said = _cut(" ".join(reply.text.split()), _TOLD)
    return f"no {what} came" + (f", but words: {said}" if said else "")


def _prose(output: Output, reply: Reply) -> Answer | str:
    text = reply.text
    if output.modality is Modality.PDF:
        fenced = _MARKDOWN_FENCE.fullmatch(text.strip())
        text = fenced[1] if fenced else text
    if not text.strip():
        return "the answer is empty"
    return Answer(value=text, warnings=(_CUT,) if reply.finish is Finish.LENGTH else ())


def _json(output: Output, text: str) -> Answer | str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"the answer is not JSON ({error})"
    if _nests_too_deep(text, value):
        return "the answer is nested too deep"
    return _valid(output, value, size=len(text))


def _valid(output: Output, value: JsonValue, *, size: int) -> Answer | str:
    """A value that meets the output's schema as it is, or with readings that the answer tells of.

    `size` is the length of the value's text.
    """
    if output.validator is None or output.validator.is_valid(value):
        return Answer(value=value)
    if output.schema is not None and not can_be_explained(output.schema, value):
        return "the answer does not meet the schema"
    problem = first_error(output.validator, value)
    if problem is None:
        return Answer(value=value)
    read: Coerced | None = coerced(output.validator, value, size=size) if output.coerce else None
    if read is not None:
        return Answer(value=read.value, warnings=read.warnings)
    told = _cut(first_line(problem), _TOLD)
    return f"the answer does not meet the schema at {place(problem.instance_path)}: {told}"


def _csv(output: Output, text: str) -> Answer | str:
    if output.columns and text.startswith(("{", "[")):  # rows under a schema; see answer_form.py
        return _rows_of_json(output, text)
    rows = csv_rows(text, output)
    return rows.message if isinstance(rows, NoRows) else Answer(value=_listed(rows))


def _rows_of_json(output: Output, text: str) -> Answer | str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"the answer is not JSON ({error})"
    if _nests_too_deep(text, value):
        return "the answer is nested too deep"
    valid = _valid(output, {ROWS: value} if isinstance(value, list) else value, size=len(text))
    if isinstance(valid, str):
        return valid
    assert isinstance(valid.value, dict)  # noqa: S101  # the schema has seen to it
    rows: list[Row] = []
    for number, cells in enumerate(valid.value[ROWS], start=1):
        row = typed_row(cells, output.columns)
        if isinstance(row, NoRows):
            return f"row {number}: {row.message}"
        rows.append(row)
    return Answer(value=_listed(rows), warnings=valid.warnings)


def _listed(rows: Sequence[Row]) -> list[JsonValue]:
    return list(rows)


def _not(kind: FailureKind, message: str, reply: Reply) -> Failure:
    return Failure(
        kind=kind,
        message=message,
        http_status=reply.http_status,
        request_id=reply.request_id,
        usage=reply.usage,
        text=_cut(reply.text, _SHOWN),
        model=reply.model,
    )


def _nests_too_deep(text: str, value: JsonValue) -> bool:
    """Whether a value can be read but neither validated nor written again: a model that ran away."""
    if text.count("[") + text.count("{") <= _SURELY_WRITABLE:
        return False
    try:
        canonical_json(value)
    except TypeError:
        return True
    return False


def _unfenced(text: str) -> str:
    """The text without the ``` fence that models like to put around what is to be parsed."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped[stripped.index("\n") + 1 : -3]
    return stripped


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
