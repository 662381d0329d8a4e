"""What a job file may say."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from tasks_lib.configs.ages import StoredAnswersKey
from tasks_lib.configs.fields import (
    MAPPING,
    TEXT,
    Column,
    Count,
    Dollars,
    Keys,
    Label,
    Name,
    Seconds,
    Switch,
    Text,
    Tries,
    Workers,
    kind_of,
)
from tasks_lib.configs.input_file import FileColumns, Host
from tasks_lib.configs.places import Address, Variable
from tasks_lib.configs.spread import SpreadKey
from tasks_lib.configs.task_file import ModelName


class LimitsFile(Keys):
    """What must never be passed."""

    requests_per_minute: Count | None = Field(default=None, description="Calls begun in any minute")
    tokens_per_minute: Count | None = Field(
        default=None, description="Tokens of any minute, input and output together"
    )
    input_tokens_per_minute: Count | None = Field(default=None, description="Tokens of input of any minute")
    output_tokens_per_minute: Count | None = Field(default=None, description="Tokens of output of any minute")
    requests_per_day: Count | None = Field(default=None, description="Calls begun on one day of UTC")
    tokens_per_day: Count | None = Field(
        default=None, description="Tokens of one day of UTC, input and output together"
    )
    in_flight: Count | None = Field(
        default=None, description="Calls at the same time; without it, as many as turn out to go through"
    )
    max_cost: Dollars | None = Field(default=None, description="Dollars for one batch")
    max_cost_per_group: Dollars | None = Field(
        default=None, description="Dollars for each reporting group of one batch"
    )
    max_cost_per_day: Dollars | None = Field(
        default=None, description="Dollars for all batches of the ledger on one day of UTC"
    )
    max_failures: Count | None = Field(default=None, description="Failed rows after which a batch stops")


class RetriesFile(Keys):
    """Further tries a model gets after its first, and the waits between."""

    rate_limited: Tries = Field(default=8, description="Tries after the provider said: too many requests")
    transient: Tries = Field(default=4, description="Tries after a timeout, a lost connection or a 5xx")
    content: Tries = Field(default=2, description="Tries after an answer that does not meet the schema")
    wait_initial: Seconds = Field(default=1.0, description="The longest first wait, in seconds; it doubles")
    wait_max: Seconds = Field(default=60.0, description="The longest wait, in seconds")
    on_ambiguous: Literal["retry", "fail"] = Field(
        default="retry",
        description="What follows a call that may have been billed though no answer arrived: "
        "another one, or a failed row",
    )


def _parted(value: object) -> object:
    """A list that was written as one text, with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _tab(value: object) -> object:
    return "\t" if value in ("\\t", "tab") else value


class StorageFile(Keys):
    """How a store is reached, where its settings (AWS_*, profiles, GOOGLE_*) do not say; never a secret."""

    endpoint_url: Address | None = Field(
        default=None, description="Where the store answers, if it is not Amazon's or Google's own"
    )
    region: Text | None = Field(default=None, description="Of S3")
    profile: Text | None = Field(default=None, description="Of the AWS configuration files")
    project: Text | None = Field(default=None, description="Of Google Cloud")
    access: Literal["signed", "anonymous"] = Field(
        default="signed", description="With the credentials that are found, or without any: public data"
    )
    requester_pays: Literal["yes", "no"] = Field(
        default="no", description="Whether you pay for reading from somebody else's bucket"
    )


class SourceFile(Keys):
    """Where the rows come from."""

    path: Text | None = Field(
        default=None,
        description="The file, relative to this one: .csv, .parquet or .jsonl, compressed (.gz, .zst) or "
        "not; a folder, a glob such as inbox/*.csv or data/**/*.parquet; an address: s3://, gs://, https://",
    )
    query: Text | None = Field(default=None, description="In place of a file: SQL that DuckDB answers")
    format: Literal["csv", "parquet", "jsonl"] | None = Field(
        default=None, description="The file's format, where its name does not tell"
    )
    key: Text | None = Field(
        default=None, description="The column that names a row; without it the row's content is its name"
    )
    delimiter: (
        Annotated[
            str, BeforeValidator(_tab), Field(min_length=1, max_length=1), WithJsonSchema({"type": "string"})
        ]
        | None
    ) = Field(default=None, description="What parts a CSV's fields; by default it is found in the file")
    quote: Annotated[str, Field(max_length=1)] = Field(
        default='"', description="What a CSV's fields are quoted with; '' if they never are"
    )
    encoding: Text = Field(default="utf-8", description="A CSV's encoding")
    file_column: Text | None = Field(
        default=None, description="A further column to make: the name of each row's file, from the folder on"
    )
    empty: Literal["allowed", "refused"] = Field(
        default="allowed",
        description="Of a folder, glob or prefix that has no row: there is nothing to do, or it is refused",
    )
    storage: StorageFile = Field(default_factory=StorageFile, description="How an address is reached")


class DestinationFile(Keys):
    """Where the enriched rows go."""

    path: Text = Field(
        description="The file, relative to this one: .csv, .parquet, .jsonl, .duckdb; or an address: s3://, gs://"
    )
    format: Literal["csv", "parquet", "jsonl", "duckdb"] | None = Field(
        default=None, description="The file's format, where its name does not tell"
    )
    table: Text | None = Field(
        default=None, description="The table of a DuckDB file; by default the job's name"
    )
    storage: StorageFile = Field(default_factory=StorageFile, description="How an address is reached")


class WebhookFile(Keys):
    """Who is told when something ends."""

    url: Address = Field(description="Where notices are posted to, as JSON")
    secret: Variable | None = Field(
        default=None,
        description="Name of the variable that holds the signing secret (Standard Webhooks, such as "
        "whsec_…), never the secret itself; without it notices are not signed",
    )
    events: Annotated[list[Literal["batch.ended", "task_run.ended"]], Field(min_length=1)] = Field(
        default_factory=lambda: ["batch.ended"],  # type: ignore[arg-type]  # mypy takes it for a list of str
        description="What is told: batch.ended (the default), task_run.ended, or both",
    )


class OverrideFile(Keys):
    """What stands in place of the task's own, for all rows or for each."""

    prompt: Label | None = Field(
        default=None,
        description="In place of every revision's user_prompt: a template over the row's columns, or a "
        "column; at least 3 characters",
    )
    model: (
        Annotated[Annotated[ModelName, Tag(TEXT)] | Annotated[Column, Tag(MAPPING)], Discriminator(kind_of)]
        | None
    ) = Field(
        default=None,
        description="In place of every revision's primary model: provider:name, or a column of such names",
    )
    provider: (
        Annotated[Annotated[Text, Tag(TEXT)] | Annotated[Column, Tag(MAPPING)], Discriminator(kind_of)] | None
    ) = Field(default=None, description="Ask the model of that name at this provider, or at a column's")
    response_format: (
        Annotated[
            Annotated[Literal["text", "json"], Tag(TEXT)] | Annotated[Column, Tag(MAPPING)],
            Discriminator(kind_of),
        ]
        | None
    ) = Field(default=None, description="In place of output.modality: text, json, or a column")
    json_schema: (
        Annotated[
            Annotated[Text, Tag(TEXT)] | Annotated[dict[str, Any], Tag(MAPPING)], Discriminator(kind_of)
        ]
        | None
    ) = Field(
        default=None,
        description="In place of output.schema: a JSON Schema (of Draft 7, unless it names another), its "
        "JSON text, the path of a .json file, or {column: NAME}",
    )


class JobFile(Keys):
    """This task over that source, into that ledger, under these limits."""

    job: Name | None = Field(default=None, description="The job's name; by default the file's")
    description: str | None = Field(default=None, description="For people")
    task: Text = Field(description="Path of the task file, relative to this one")
    source: Annotated[
        Annotated[Text, Tag(TEXT)] | Annotated[SourceFile, Tag(MAPPING)], Discriminator(kind_of)
    ] = Field(description="Where the rows come from: the path of a file, or path, key and format")
    inputs: dict[str, Text] = Field(
        default_factory=dict,
        description="placeholder: column. A placeholder that is not named takes the column of its name",
    )
    files: FileColumns | None = Field(
        default=None,
        description="The column, or the columns, that name a row's files: by a path beside the source, a "
        "URL, a data: URI, {filename, content} with base64, or bytes; see the task's file_input_mode",
    )
    file_folders: list[Text] = Field(
        default_factory=list,
        description="Folders beside the source's own that paths of rows may lead into, relative to this file",
    )
    allow_urls: list[Host] = Field(
        default_factory=list,
        description="Hosts that may be asked for URLs of rows: example.com, '*.example.com', '*' for every "
        "public host; https, unless http:// stands before it, and the usual port, unless one follows",
    )
    allow_private_addresses: bool = Field(
        default=False,
        description="Whether these hosts may have addresses of this machine and its networks",
    )
    reporting_group: Label | None = Field(
        default=None,
        description="To whose account a row goes: a constant, a template such as '{{customer}}', or a "
        "column; at most 64 characters",
    )
    reference: Label | None = Field(
        default=None,
        description="What a row's run is called: constant, template or column; at most 64 characters",
    )
    context_id: Label | None = Field(
        default=None,
        description="To what a row's run belongs: constant, template or column; at most 64 characters",
    )
    metadata: dict[str, Label] = Field(
        default_factory=dict,
        description="Up to 16 further labels; names of at most 16 characters, values of at most 512",
    )
    user: Label | None = Field(
        default=None,
        description="For whom a row is asked: constant, template or column; at most 64 characters. It is "
        "told to the provider if `carry` says so",
    )
    carry: list[Literal["user", "metadata", "reporting_group", "reference", "context_id"]] = Field(
        default_factory=list,
        description="Labels that the provider is told, where it has a field for them; by default none. "
        "OpenAI takes metadata, and with it the other labels but `user`, only of completions that it stores: "
        "they are then stored there, unless a task's parameters say `store: false`",
    )
    credits_per_dollar: Dollars | None = Field(
        default=None,
        description="How many credits a dollar of cost is charged as; without it no credits are reckoned",
    )
    webhook: (
        Annotated[
            Annotated[Address, Tag(TEXT)] | Annotated[WebhookFile, Tag(MAPPING)], Discriminator(kind_of)
        ]
        | None
    ) = Field(
        default=None, description="Who is told when the batch ends: an address, or url, secret and events"
    )
    limits: LimitsFile = Field(default_factory=LimitsFile, description="What must never be passed")
    retries: RetriesFile = Field(
        default_factory=RetriesFile, description="Further tries by the kind of failure, and their waits"
    )
    ledger: Text = Field(
        default="rowmill.duckdb",
        description="Path of the ledger, relative to this file; beside it by default",
    )
    output: (
        Annotated[
            Annotated[Text, Tag(TEXT)] | Annotated[DestinationFile, Tag(MAPPING)], Discriminator(kind_of)
        ]
        | None
    ) = Field(
        default=None, description="Where the enriched rows go: the path of a file, or path, format and table"
    )
    expected: dict[str, Text] = Field(
        default_factory=dict, description="answer's field: column with the right value, to measure accuracy"
    )
    model: ModelName | None = Field(
        default=None,
        description="In place of every revision's primary model: provider:name, with the same parameters",
    )
    revision_id: Label | None = Field(
        default=None,
        description="Id (a UUID) of the revision to use: constant, template or column; where it is empty, "
        "and by default, weights decide",
    )
    revision_tag: Label | None = Field(
        default=None,
        description="Tag of the revision to use: constant, template or column; where it is empty, and by "
        "default, weights decide",
    )
    compare: Annotated[
        list[Text],
        BeforeValidator(_parted),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(
        default_factory=list,
        description="Run every row with each of these revisions: a list of tags or ids, or all",
    )
    team_ledger: Text | None = Field(
        default=None,
        description="A team's ledger that is told what this one has while a batch runs: quack:HOST:PORT or "
        "ducklake:postgres:dbname=NAME",
    )
    serve: bool = Field(
        default=False,
        description="Let other DuckDB clients of this machine read the ledger while a batch runs, over Quack",
    )
    workers: Workers = Field(
        default=1, description="Processes that make the calls, where one core is not enough for them"
    )
    spread: SpreadKey = Field(
        default=None,
        description="What starts the workers elsewhere: dask, ray or hand, or runner, address, listen, "
        "advertise and tickets; without it they are processes of this machine",
    )
    identical_rows: Literal["once", "each"] = Field(
        default="once",
        description="Rows that ask the same while one of them is under way: one call for all, or one each",
    )
    override: OverrideFile | None = Field(
        default=None,
        description="What stands in place of the task's own prompt, model, provider, response_format and "
        "json_schema, for all rows or, by a column, for each; where a row's column is empty, nothing",
    )
    stored_answers: StoredAnswersKey = Field(
        default=False,
        description="Let an answer in the ledger to the same question (the same inputs under the same "
        "revision) stand in for a call, whichever row or job it was given for: true, or its greatest age, "
        "such as 30d, 12h or a number of hours",
    )
    use_fallback_model: Switch = Field(
        default=False,
        description="Begin at the fallback, and leave the primary alone: true, or for each row what a "
        "template or a column says (true, 1 or yes; false, 0, no or nothing)",
    )
    seed: Text | None = Field(
        default=None, description="Decides which row gets which revision; the task's name by default"
    )
    providers: Text | None = Field(
        default=None,
        description="Path of a providers file; by default a providers.yaml here or one folder up",
    )
    prices: Text | None = Field(
        default=None,
        description="Path of a prices file; by default a prices.yaml here or one folder up",
    )


def source_of(file: JobFile) -> SourceFile:
    """Where the rows come from, in whichever of the two ways the file tells it."""
    return SourceFile(path=file.source) if isinstance(file.source, str) else file.source


def output_of(file: JobFile) -> DestinationFile | None:
    """Where the enriched rows go, in whichever of the two ways the file tells it."""
    return DestinationFile(path=file.output) if isinstance(file.output, str) else file.output


def webhook_of(file: JobFile) -> WebhookFile | None:
    """Who is told, in whichever of the two ways the file tells it."""
    return WebhookFile(url=file.webhook) if isinstance(file.webhook, str) else file.webhook
