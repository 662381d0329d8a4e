"""Floor 5: Prefect: names, shows, schedules, spreads over machines; decides nothing.

Importing anything of this package settles Prefect's environment first: Prefect reads it on its own import.
"""

from flows.settings import settle

settle()
