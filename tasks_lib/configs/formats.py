"""The format that a file's name tells."""

from pathlib import PurePath
from typing import Final

_SOURCES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_DESTINATIONS: Final = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".duckdb": "duckdb",
}
_COMPRESSIONS: Final = (".gz", ".bz2", ".zst", ".lz4")


def source_format(name: str) -> str | None:
    """csv, parquet or jsonl, compressed or not; None if the name does not tell."""
    return _SOURCES.get(_suffix(name))


def source_delimiter(name: str) -> str | None:
    """What parts the fields of a file with this name; None if it does not tell."""
    return "\t" if _suffix(name) == ".tsv" else None


def destination_format(name: str) -> str | None:
    """csv, parquet, jsonl or duckdb; None if the name does not tell."""
    return _DESTINATIONS.get(PurePath(name).suffix.lower())


def _suffix(name: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSIONS), "")
