"""How often a failed exchange is had again."""

from dataclasses import dataclass

from tasks_lib.domain.failure import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """Further tries a model gets after its first, by the kind of failure, and the waits between (seconds)."""

    rate_limited: int = 8
    transient: int = 4
    content: int = 2
    wait_initial: float = 1.0
    wait_max: float = 60.0
    on_ambiguous: str = "retry"  # or `fail`: what follows a call that may have been billed without an answer

    def of(self, budget: Budget) -> int:
        """The tries a budget holds."""
        if budget is Budget.RATE_LIMITED:
            return self.rate_limited
        return self.transient if budget is Budget.TRANSIENT else self.content
