"""`python -m tasks_lib.cli` is `rowmill`."""

from tasks_lib.cli import main

main()
