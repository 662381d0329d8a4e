"""Another program with a DuckDB of its own, which attaches a served ledger and prints what it is told.

`python -m tests.live.quack_client URI` reads the token and then statements from standard input, a line each,
and prints for each a line of JSON: the rows, or the error.
"""

import json
import sys

import duckdb

from tasks_lib.ledger.extensions import load_extensions

if __name__ == "__main__":
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    load_extensions(connection, "httpfs", "quack", extra="live")
    token = sys.stdin.readline().strip()
    for statement in (f"attach '{sys.argv[1]}' as run (token '{token}')", *sys.stdin):
        try:
            told = connection.execute(
                statement.replace("URI", sys.argv[1]).replace("TOKEN", token)
            ).fetchall()
        except duckdb.Error as error:
            told = str(error)
        print(json.dumps(told, default=str), flush=True)  # noqa: T201 - the test reads it
