"""A batch that only pretends to run, as another process sees it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tasks_lib.domain.mistake import Mistake
from tasks_lib.live import AccountNow, BudgetNow, GroupNow, Phase, Snapshot

BATCH = "0197a200-f827-7db7-8d89-ba7698d22db7"


class Pretended:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.limits: dict[str, Any] = {"in_flight": 8, "max_cost": None}
        self.phase = Phase.RUNNING
        self.looks = 0
        self.heard: list[str] = []

    def snapshot(self) -> Snapshot:
        self.looks += 1
        return Snapshot(
            batch_id=BATCH,
            job="reviews",
            phase=self.phase,
            seconds=10.0 + self.looks,
            pid=1,
            rows=1_000,
            completed=100 * self.looks,
            failed=2,
            calls=110 * self.looks,
            input_tokens=5_000 * self.looks,
            output_tokens=1_000 * self.looks,
            cost=Decimal("0.000000000001") * self.looks,
            failures={"invalid_output": 2},
            last_failure="no [bold]JSON[/]",
            accounts=(
                AccountNow(
                    provider="openai",
                    in_flight=7,
                    most_in_flight=8,
                    waiting=3,
                    adaptive=True,
                    limits={"requests_per_minute": 600},
                    closed_for=2.5,
                    closed_why="the provider asked for it",
                    requests_last_minute=590,
                ),
            ),
            budgets=(
                BudgetNow(scope="batch", most=Decimal(5), spent=Decimal("1.5"), reserved=Decimal("0.5")),
            ),
            groups=(GroupNow(name="acme", cost=Decimal("0.7")), GroupNow(name=None, cost=Decimal("0.1"))),
        )

    def pause(self) -> None:
        self.done.append("pause")
        self.phase = Phase.PAUSED

    def resume(self) -> None:
        self.done.append("resume")
        self.phase = Phase.RUNNING

    def cancel(self) -> None:
        self.done.append("cancel")
        self.phase = Phase.ENDING

    def news(self, remote_ids: Sequence[str]) -> None:
        self.heard.extend(remote_ids)

    def change_limits(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        unknown = [name for name in changes if name not in self.limits]
        if unknown:
            raise Mistake(f"limits.{unknown[0]} is not known")
        self.limits.update(changes)
        return dict(self.limits)
