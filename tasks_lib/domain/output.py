"""What must come back, and what came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

import jsonschema_rs

from tasks_lib.domain.csv_columns import CsvColumn, rows_schema
from tasks_lib.domain.files import FileFact
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.usage import Usage


class Modality(Enum):
    """The form of an answer."""

    JSON = "json"
    TEXT = "text"
    CSV = "csv"
    IMAGE = "image"
    AUDIO = "audio"
    PDF = "pdf"

    @property
    def is_file(self) -> bool:
        """Whether an answer is kept as a file."""
        return self not in {Modality.JSON, Modality.TEXT}

    @property
    def is_media(self) -> bool:
        """Whether a model answers in bytes, and not in words."""
        return self in {Modality.IMAGE, Modality.AUDIO}


class Finish(Enum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A picture or a recording that a model made, or a document that a hosted task did."""

    content: bytes
    mime_type: str | None = None  # as the provider has it, which need not be true


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model said, before anybody looked whether it is an answer."""

    text: str
    media: Media | None = None
    finish: Finish = Finish.STOP
    usage: Usage | None = None
    model: str | None = None  # as the provider named it
    http_status: int | None = None
    request_id: str | None = None
    remote: RemoteRun | None = None  # what a hosted task tells of its run


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply that is what the task asks for: text, the JSON value of it, or a file and what describes it."""

    value: JsonValue
    warnings: tuple[str, ...] = ()
    media: Media | None = None  # of an image or recording that is not yet written
    file: FileFact | None = None  # once it is written


FILE_TYPES: Final[Mapping[Modality, tuple[str, ...]]] = {
    Modality.IMAGE: ("png", "jpeg", "webp"),
    Modality.AUDIO: ("wav", "mp3", "opus", "aac", "flac"),
}
"""What a picture or recording may be asked to be; what it then is, its bytes tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a task's answers must be. Make one with `Output.of`, which checks and compiles it."""

    modality: Modality = Modality.JSON
    schema: Mapping[str, JsonValue] | None = None  # of JSON
    columns: tuple[CsvColumn, ...] = ()  # of CSV; none: whatever the header says, as text
    min_rows: int = 0  # of CSV
    max_rows: int | None = None  # of CSV
    file_type: str | None = None  # of a picture or recording: one of FILE_TYPES; None: the model's choice
    coerce: bool = True  # whether "3" is read as 3 where the schema wants an integer; see coercion.py
    validator: Any = field(default=None, repr=False, compare=False)  # jsonschema_rs has no public type for it

    @classmethod
    def of(
        cls,
        modality: Modality,
        schema: Mapping[str, JsonValue] | None = None,
        *,
        columns: Sequence[CsvColumn] = (),
        min_rows: int = 0,
        max_rows: int | None = None,
        file_type: str | None = None,
        coerce: bool = True,
    ) -> "Output":
        """An output with its schema, or that of its rows, compiled.

        Raises:
            ValueError: the schema is not a JSON Schema, or the modality has no such thing.
        """
        if schema is not None and modality is not Modality.JSON:
            raise ValueError(f"an output of modality {modality.value} has no schema")
        if modality is not Modality.CSV and (columns or min_rows or max_rows is not None):
            raise ValueError(f"an output of modality {modality.value} has no columns or rows")
        if len({column.name for column in columns}) < len(columns):
            raise ValueError("two columns have one name")
        if max_rows is not None and max_rows < min_rows:
            raise ValueError(f"at most {max_rows} and at least {min_rows} rows")
        if file_type is not None and file_type not in FILE_TYPES.get(modality, ()):
            raise ValueError(f"an output of modality {modality.value} has no file type {file_type!r}")
        compiled = rows_schema(columns, min_rows=min_rows, max_rows=max_rows) if columns else schema
        return cls(
            modality=modality,
            schema=schema,
            columns=tuple(columns),
            min_rows=min_rows,
            max_rows=max_rows,
            file_type=file_type,
            coerce=coerce,
            validator=None if compiled is None else _compiled(compiled),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A compiled schema cannot be sent to another process; there it is compiled again."""
        again = partial(
            Output.of,
            self.modality,
            self.schema,
            columns=self.columns,
            min_rows=self.min_rows,
            max_rows=self.max_rows,
            file_type=self.file_type,
            coerce=self.coerce,
        )
        return (again, ())


def _compiled(schema: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401  # as the field
    try:
        # offline: a $ref neither opens files nor calls anybody
        return jsonschema_rs.validator_for(dict(schema), offline=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"not a JSON Schema: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, without what it says below that."""
    message = getattr(error, "message", None) or str(error)
    return str(message).partition("\n")[0]
