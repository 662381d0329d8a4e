"""A loopback server that runs tasks as Webagent does, self-hosted and in the cloud, and counts every run.

Tests start it beside themselves with `running_server`; `python -m tests.webagentserver --help` lists the
settings. The self-hosted edition answers below `/api`, the cloud edition at the root.
"""

from tests.webagentserver.running import Server, running_server

__all__ = ["Server", "running_server"]
