"""A fast loopback server that speaks OpenAI chat completions, fails on purpose, and counts every row exactly.

Tests and benchmarks start it beside themselves with `running_server`;
`python -m tests.llmserver --help` lists the settings.
"""

from tests.llmserver.running import Server, running_server

__all__ = ["Server", "running_server"]
