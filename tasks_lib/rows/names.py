"""What the names of files say: their format, and the partition that they are of."""

from pathlib import PurePath
from typing import Final
from urllib.parse import unquote

_FORMATS: Final = {
    ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
_COMPRESSIONS: Final = {".gz", ".bz2", ".zst", ".lz4"}
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and DuckDB call a partition of NULLs


def format_of(name: str) -> str | None:
    """csv, parquet or jsonl, compressed or not; None if the name does not tell."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    told = next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSIONS), "")
    return _FORMATS.get(told)


def suffix_of(name: str) -> str:
    """What of the end of a name says how the file is to be read, and no more of it: `.csv.gz`."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    return "".join(suffix for suffix in suffixes if suffix in _FORMATS or suffix in _COMPRESSIONS)[-20:]


def partition_of(name: str) -> dict[str, str | None]:
    """The columns and values that a file's folders spell, as `year=2026/month=11/part-0.parquet` does.

    Values stay the text that they are: were `11` a number, a later partition `unknown` would make it text,
    and every row that was answered before another row.
    """
    found: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        column, equals, value = folder.partition("=")
        if column and equals:
            found[unquote(column)] = None if value == _NO_VALUE else unquote(value)
    return found
