"""The servers of tests/flows, for a suite of its own."""

from tests.flows.conftest import llm, prefect

__all__ = ["llm", "prefect"]
