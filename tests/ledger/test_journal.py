"""Runs that are over and not yet in the ledger, in files that outlive whoever wrote them."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from tasks_lib.ledger import Facts, LedgerError, facts_of, journal, open_ledger
from tasks_lib.ledger.journal import Entry, Journal, WrittenJournal, entries_after, journal_path
from tests.ledger.builders import answered, batch_id, begin, plan, run

ROOT = Path(__file__).parents[2]


def facts(keys: str, *, first: int = 1) -> Facts:
    """Runs of these rows, each with a group of its own."""
    runs = [
        run(plan(key=key, number=number, group=f"group {key}"), answered({"key": key}))
        for number, key in enumerate(keys, start=first)
    ]
    return facts_of(runs, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in runs})
