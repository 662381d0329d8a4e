"""What a provider knows of one customer."""

import random

from tests.llmserver.faults import Draw, Settings
from tests.llmserver.limits import Bucket, Pauses, Window


class Account:
    """One key at one base URL: its settings, what it has used of its limits, and its pauses."""

    __slots__ = ("bucket", "draw", "inflight", "pauses", "settings", "tokens", "window")

    def __init__(self, settings: Settings) -> None:
        self.inflight = 0
        self.forget()
        self.change(settings)

    def change(self, settings: Settings) -> None:
        """Other settings from now on; what has been used stays used."""
        self.settings = settings
        self.draw = Draw(settings, random.Random(settings.seed))  # noqa: S311  # pretend faults, no secret

    def forget(self) -> None:
        """Every limit is fresh and no pause is asked for."""
        self.bucket, self.tokens, self.window, self.pauses = Bucket(), Bucket(), Window(), Pauses()
