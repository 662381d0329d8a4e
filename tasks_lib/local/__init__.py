"""A small language model and a voice on this machine, behind the same protocol as the large ones far away."""

from tasks_lib.local.cores import cores
from tasks_lib.local.models import (
    PACKAGED_MODEL,
    LocalModel,
    LocalModelInvalid,
    LocalModelMissing,
    local_model,
)
from tasks_lib.local.opening import Local, check_local, open_local
from tasks_lib.local.servers import LocalServerFailed, LocalServers, local_servers
from tasks_lib.local.transport import LOCAL_BASE_URL, LOCAL_HOST, LocalTransport

__all__ = [
    "LOCAL_BASE_URL",
    "LOCAL_HOST",
    "PACKAGED_MODEL",
    "Local",
    "LocalModel",
    "LocalModelInvalid",
    "LocalModelMissing",
    "LocalServerFailed",
    "LocalServers",
    "LocalTransport",
    "check_local",
    "cores",
    "local_model",
    "local_servers",
    "open_local",
]
