"""One llama.cpp server in a process of its own, which ends when its parent does.

The first line of standard input is a JSON object: `model` (path of a GGUF file), `name`, `context_tokens`
and `key` (which a request must bear). One line of JSON on standard output, `{"url": "http://127.0.0.1:PORT"}`,
says that the server answers. It then serves until standard input ends, which is what the death of the parent
looks like from here, however the parent died. Complaints go to standard error; status 1 is a model that did
not load.

This file imports nothing of the package, so that a child starts quickly and from any folder.
"""

import json
import os
import signal
import sys
from typing import Any, BinaryIO, Final, Protocol, cast

ERRORS_ONLY: Final = 1  # llama.cpp's level: 0 says not even why a model did not load


class Server(Protocol):
    """What is used of a running server."""

    listening_address: str


def main() -> None:
    """Serve until standard input ends."""
    answers = _only_for_answers()
    settings = cast("dict[str, Any]", json.loads(sys.stdin.buffer.readline()))
    try:
        server = _server(settings)
    except RuntimeError as error:  # llama.cpp has written the reason to standard error by now
        sys.exit(str(error))
    _leave_ending_to_the_parent()
    answers.write(json.dumps({"url": server.listening_address}).encode() + b"\n")
    answers.flush()
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)  # not sys.exit: the server's own ending waits for the answer that is being written


def _only_for_answers() -> BinaryIO:
    """Standard output for ourselves; whatever else prints there, native code too, goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _leave_ending_to_the_parent() -> None:
    """Ctrl-C and a service manager's stop reach the whole process group; the parent may want to drain."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _server(settings: dict[str, Any]) -> Server:
    """A server that is ready for requests; RuntimeError when the model cannot be loaded."""
    # OpenMP reads this when it is loaded; waiting threads that spin would starve the servers beside this one.
    os.putenv("OMP_WAIT_POLICY", "passive")
    # Therefore only now; and the package is an optional one.
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["name"]}
    params.n_ctx = settings["context_tokens"]
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.endpoint_slots = False  # it would show prompts
    params.ui = False
    params.offline = True
    params.fit_params = False
    params.verbosity = ERRORS_ONLY
    params.cache_ram_mib = 0
    return cast("Server", xllamacpp.Server(params))


if __name__ == "__main__":
    main()
