"""What a batch keeps of each row under way, for the batch after its own death."""

from tasks_lib.domain.plan import Plan
from tasks_lib.job.suspects import Suspects
from tasks_lib.ledger import LedgerError
from tasks_lib.ledger.under_way import UnderWay


class UnderWayWatch:
    """Writes rows down while they are under way, and tells suspects when company leaves."""

    def __init__(self, under_way: UnderWay, suspects: Suspects) -> None:
        """Begin with no row under way."""
        self._under_way = under_way
        self._suspects = suspects

    def began(self, plan: Plan) -> None:
        """The first call for the row is about to be made."""
        self._under_way.began(plan)

    def broke(self, plan: Plan, error: Exception) -> None:
        """The row brought forth an error that ends the process: its death, and no other row's."""
        if not isinstance(error, LedgerError):  # such as a full disk, which is no row's fault
            self._under_way.blame(plan)

    def ended(self, plan: Plan) -> None:
        """The row was recorded, or was given up without a call."""
        self._under_way.ended(plan)
        self._suspects.ended(plan)
