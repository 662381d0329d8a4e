"""How many runs a batch will begin at hosted tasks, at what price, and which rows none can be begun for."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.hosted_tasks import HOSTED_PROTOCOLS
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import Charted
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.job.checks import planner_of
from tasks_lib.job.protocols import protocol_of
from tasks_lib.job.setup import Setup
from tasks_lib.providers.protocol import RunProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRuns:
    """The rows that a hosted task is the first to be asked for."""

    model: str
    runs: int
    price: Decimal | None  # dollars for one; None: unknown, or not by the run
    cost: Decimal | None  # dollars for all of them, without those that a failure hands on


class HostedForesight:
    """Looks at runs as they are charted, and has each told by its protocol whether it can be begun."""

    def __init__(self, setup: Setup) -> None:
        """Nothing is seen yet."""
        self._planner = planner_of(setup.job)
        self._prices = setup.price_lists()
        self._runs: Counter[Model] = Counter()
        self._bad: list[tuple[int, str]] = []
        self._refused = 0
        self._protocols = {
            model.provider: protocol
            for model in setup.models
            if (provider := setup.provider(model)).protocol in HOSTED_PROTOCOLS
            and isinstance(protocol := protocol_of(provider, None), RunProtocol)
        }

    @property
    def is_needed(self) -> bool:
        """Whether any model is a hosted task."""
        return bool(self._protocols)

    def look_at(self, charted: Charted) -> None:
        """Take a run into account."""
        plan = self._planner.plan(charted, task_run_id="")
        if plan.problem is not None:
            return
        choice = plan.models[plan.begin_at]
        if choice.model.provider not in self._protocols:
            return
        refused = self._refused_at_once(plan, choice)
        if refused is None:
            self._runs[choice.model] += 1
            return
        self._refused += 1
        if not self._bad:
            self._bad.append((plan.row_number, refused.message))

    @property
    def runs(self) -> tuple[PlannedRuns, ...]:
        """The runs that will be begun, by the hosted task; in the order in which rows ask for them."""
        return tuple(self._planned(model, runs) for model, runs in self._runs.items())

    @property
    def warnings(self) -> tuple[str, ...]:
        """That some rows cannot be asked."""
        if not self._refused:
            return ()
        number, message = self._bad[0]
        rows = "1 row" if self._refused == 1 else f"{self._refused:,} rows"
        return (f"{rows} will fail without being asked: {message} (row {number})",)

    def _refused_at_once(self, plan: Plan, choice: ModelChoice) -> Failure | None:
        """Why a run cannot even be begun; None if it can. Nothing is sent, since nobody carries it."""
        if not plan.is_prepared:
            return None
        exchange = self._protocols[choice.model.provider].run(plan, choice)
        try:
            next(exchange)
        except StopIteration as ended:
            return ended.value if isinstance(ended.value, Failure) else None
        exchange.close()
        return None

    def _planned(self, model: Model, runs: int) -> PlannedRuns:
        prices = self._prices.get(model)
        price = prices.steps[0][1].request if prices is not None and prices.is_by_call else None
        return PlannedRuns(
            model=str(model), runs=runs, price=price, cost=None if price is None else price * runs
        )
