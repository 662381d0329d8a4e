"""What each command takes and how it is explained; `cli/app.py` has their order.

What they do stands in modules of `tasks_lib.cli` that are imported when a command is run: DuckDB, pandas,
Arrow, Prefect and the prices take a second to import, which nobody who asks for help should wait.
"""
