"""What of a batch is at a place."""
# ruff: noqa: S608  names and ids are the tests' own

from tasks_lib.ledger.team import Place

_KEYS = {"task_runs": "id", "attempts": "(task_run_id, number)"}


def counted(place: Place, batch: str) -> list[tuple[str, int, int]]:
    """Rows of a batch there by table, and how many different ones these are."""
    found = []
    for table, key in _KEYS.items():
        text = f"select count(*) as n, count(distinct {key}) as d from {table} where batch_id = '{batch}'"
        (row,) = place.ask(text).to_pylist()
        found.append((table, row["n"], row["d"]))
    return found
