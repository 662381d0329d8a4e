"""What a task file may say of its answers."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tasks_lib.configs.fields import MAPPING, TEXT, Keys, Text, kind_of

ModalityName = Literal["json", "text", "csv", "image", "audio", "pdf"]
ColumnTypeName = Literal[
    "str", "string", "int", "integer", "float", "number", "bool", "boolean", "date", "datetime"
]


class ColumnFile(Keys):
    """A column of a CSV answer."""

    type: ColumnTypeName = Field(default="string", description="What its cells are; string by default")
    nullable: bool = Field(default=False, description="Whether a cell may be empty, which is null")
    description: Text | None = Field(default=None, description="For the model")


class OutputFile(Keys):
    """What must come back."""

    modality: ModalityName = Field(
        default="json", description="Form of an answer: json (the default), text, csv, image, audio or pdf"
    )
    answer_schema: (
        Annotated[
            Annotated[Text, Tag(TEXT)] | Annotated[dict[str, Any], Tag(MAPPING)], Discriminator(kind_of)
        ]
        | None
    ) = Field(
        default=None,
        alias="schema",
        description="Of json: the JSON Schema each answer must meet, or the path of a .json file with it",
    )
    output_format: dict[str, Any] | None = Field(
        default=None,
        description="Of json, in place of a schema: the answer's fields, each with a type (str, int, number, "
        "bool, list, object) or a mapping of type, description, options, item_type, nested_structure",
    )
    columns: (
        Annotated[
            dict[
                Text,
                Annotated[
                    Annotated[ColumnTypeName, Tag(TEXT)] | Annotated[ColumnFile, Tag(MAPPING)],
                    Discriminator(kind_of),
                ],
            ],
            Field(min_length=1),
        ]
        | None
    ) = Field(
        default=None,
        description="Of csv: the columns that the header must name, each with the type of its cells. "
        "Without it any header will do, and all cells are text",
    )
    min_rows: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Of csv: how many rows there must be at least"
    )
    max_rows: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Of csv: how many rows there may be at most"
    )
    file_type: Text | None = Field(
        default=None,
        description="Of image: png, jpeg or webp. Of audio: wav, mp3, opus, aac or flac. "
        "By default the model's own choice",
    )
    coerce: bool | None = Field(
        default=None,
        description='Of json and csv: whether an answer such as "3" is taken as 3 where the schema wants a '
        "number (the default), with a warning in the ledger",
    )
