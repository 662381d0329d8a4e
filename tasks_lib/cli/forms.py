"""What can be chosen by name on the command line."""

from enum import StrEnum


class Form(StrEnum):
    """How a table is written: for a reader, or for a program."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class SchemaOf(StrEnum):
    """The files that a user writes, and the record that a run is told as."""

    JOB = "job"
    TASK = "task"
    PROVIDERS = "providers"
    PRICES = "prices"
    TASK_RUN = "task_run"


class AfterAmbiguous(StrEnum):
    """What follows a call that may have been billed though no answer arrived."""

    RETRY = "retry"
    FAIL = "fail"


class RunnerName(StrEnum):
    """What starts workers elsewhere."""

    DASK = "dask"
    RAY = "ray"
    HAND = "hand"


class AtMoneyLimit(StrEnum):
    """What a scheduled run does when its sum of money is spent."""

    ASK = "ask"
    STOP = "stop"
