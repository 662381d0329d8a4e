"""A provider at which some rows kill whoever calls for them."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Deadly:
    """Answers every row but the deadly ones, for which `kill` is told the caller's port."""

    def __init__(self, rows: Collection[int]) -> None:
        self.kill: Callable[[int], None] = lambda _: None
        self.calls: Counter[int] = Counter()
        self.deadly = frozenset(rows)
        self.url = ""

    def answer(self, asked: str, port: int) -> bytes | None:
        """The answer's body; None: the caller is dead."""
        row = int(re.search(r"row_id: (\d+)", asked)[1])  # type: ignore[index]  # the prompt has one
        self.calls[row] += 1
        if row in self.deadly:
            self.kill(port)
            return None
        said = json.dumps({"row_id": str(row), "sentiment": "positive", "score": 0.5})
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return json.dumps(
            {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
        ).encode()


@contextmanager
def deadly_provider(*rows: int) -> Iterator[Deadly]:
    """A server at which these rows are deadly."""
    deadly = Deadly(rows)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = deadly.answer(told["messages"][-1]["content"], self.client_address[1])
            if body is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A caller is gone: that is the point."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        deadly.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield deadly
        finally:
            server.shutdown()
            thread.join()


def owner_of(port: int, pids: Collection[int]) -> int | None:
    """Which of these processes has a connection from this port of the machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {
        f"socket:[{fields[9]}]"
        for fields in map(str.split, lines)
        if int(fields[1].split(":")[1], 16) == port
    }
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(descriptor.readlink()) in inodes:
                    return pid
            except OSError:  # closed meanwhile
                continue
    return None
