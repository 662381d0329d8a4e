"""All that the server knows: keys with their runs, groups and credits, and how runs come to their ends."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.parallelserver import processors
from tests.parallelserver.asked import Asked, Metadata
from tests.parallelserver.chance import Chance
from tests.parallelserver.counts import Counts, tally
from tests.parallelserver.hooks import Hooks
from tests.parallelserver.outputs import output_of, subject_of
from tests.parallelserver.refusals import Refused, error_of, invalid
from tests.parallelserver.runs import ACTIVE, ENDED, Group, Run, moment
from tests.parallelserver.settings import Settings


class Window:
    """At most so many requests let in within any window of so many seconds, exactly."""

    def __init__(self) -> None:
        self._let_in: deque[float] = deque()

    def take(self, number: int, *, limit: int, seconds: float) -> None:
        """Let so many in, all of them or none.

        Raises:
            Refused: 429.
        """
        let_in, now = self._let_in, time.monotonic()
        while let_in and now - let_in[0] >= seconds:
            let_in.popleft()
        if len(let_in) + number > limit:
            raise Refused(429)
        let_in.extend([now] * number)


class Account:
    """One key: its runs, its groups, and its credits in thousandths of a US dollar."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.groups: dict[str, Group] = {}
        self.rows: dict[str, list[Run]] = {}
        self.window = Window()
        self.reserved = 0
        self.reserved_max = 0
        self.spent = 0
        self.posts = 0
        self.first_post = 0.0

    def run(self, run_id: str) -> Run:
        """The run of this id.

        Raises:
            Refused: 404.
        """
        found = self.runs.get(run_id)
        if found is None:
            raise Refused(404)
        return found

    def group(self, group_id: str) -> Group:
        """The group of this id.

        Raises:
            Refused: 404.
        """
        found = self.groups.get(group_id)
        if found is None:
            raise Refused(404, "TaskGroup not found")
        return found

    def is_broke(self, settings: Settings) -> bool:
        """Count one more creating POST, and say whether it falls into the time without credit."""
        now = time.monotonic()
        self.first_post = self.first_post or now
        self.posts += 1
        return self.posts <= settings.broke_n or now - self.first_post < settings.broke_s

    def reserve(self, asked: Sequence[Asked], settings: Settings) -> None:
        """Set aside what these runs cost, for all of them or for none.

        Raises:
            Refused: 402.
        """
        cost = sum(processors.price(one.processor) for one in asked)
        available = round(settings.balance * 1_000) - self.spent - self.reserved
        if settings.balance and cost > available:
            raise Refused(402, detail={"available": available / 1_000, "needed": cost / 1_000})
        self.reserved += cost
        self.reserved_max = max(self.reserved, self.reserved_max)

    def settle(self, run: Run, settings: Settings) -> None:
        """Give back what the run had reserved, and take what it cost."""
        cost = processors.price(run.asked.processor)
        self.reserved -= cost
        if run.status == "completed" or (run.status == "failed" and settings.bill_failed):
            self.spent += cost


class World:
    """Everything between one reset and the next."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.counts = Counts()
        self.chance = Chance()
        self.hooks = Hooks(self.counts, self.chance)
        self._is_over = False

    def close(self) -> None:
        """Nothing happens in it any more."""
        self._is_over = True
        self.hooks.close()

    def account(self, key: str) -> Account:
        """The account of this key."""
        return self.accounts.setdefault(key, Account())

    def make(
        self, account: Account, asked: Sequence[Asked], settings: Settings, *, group: Group | None = None
    ) -> list[Run]:
        """Runs, queued, in the order in which they were asked for.

        Raises:
            Refused: 402, or 422 for an interaction that is not known.
        """
        for one in asked:
            if one.previous and one.previous not in account.runs:
                raise invalid("previous_interaction_id", "No such interaction")
        account.reserve(asked, settings)
        runs = [self._made(one, settings, group) for one in asked]
        self.counts.made(len(runs))
        for run in runs:
            self._notice_another(account, run)
            account.runs[run.run_id] = run
            account.rows.setdefault(run.key, []).append(run)
            if group is not None:
                group.runs.append(run)
                group.counts["queued"] += 1
                group.modified = run.modified
            self._later(settings.queue_ms / 1_000, self._start, account, run, settings)
        if group is not None:
            group.pulse.beat()
        return runs

    def _made(self, asked: Asked, settings: Settings, group: Group | None) -> Run:
        told = (asked.metadata or {}).get(settings.row_key)
        subject = subject_of(asked.input)
        key = subject if told is None else str(told)
        run = Run(asked, key=key, group=group)
        if self.chance.hits(settings, settings.warn, "warn", key):
            run.warnings.append({"type": "unheard_of", "message": "Something else.", "detail": None})
        return run

    def _notice_another(self, account: Account, run: Run) -> None:
        earlier = account.rows.get(run.key, ())
        if any(other.status not in ENDED for other in earlier):
            self.counts.beside_another += 1
        elif any((o.status, o.asked.processor) == ("completed", run.asked.processor) for o in earlier):
            self.counts.after_success += 1

    def _start(self, account: Account, run: Run, settings: Settings) -> None:
        self._become(run, "running")
        run.progress("exec_status", "Starting research")
        run.progress("plan", f"Looking at {run.key}")
        fate = self._fate(run, settings)
        if fate == "never":
            return
        self._later(self.chance.latency(settings, run.key), self._come_to, account, run, settings, fate)

    def _fate(self, run: Run, settings: Settings) -> str:
        fate = self.chance.one_of(settings, "fates", run.key)
        is_strong = bool(settings.weak) and run.asked.processor not in settings.weak.split("+")
        if not is_strong and self.chance.number("runs", run.key) <= settings.fail_first:
            return "fail"
        return "" if fate == "fail" and is_strong else fate

    def _come_to(self, account: Account, run: Run, settings: Settings, fate: str) -> None:
        match fate:
            case "fail":
                run.error = error_of("Task execution failed", {"processor": run.asked.processor})
                self._end(account, run, settings, "failed")
            case "cancel":
                self._become(run, "cancelling")
                self._later(0.0, self._end, account, run, settings, "cancelled")
            case "action":
                self._become(run, "action_required")
                if settings.action_ms:
                    self._later(settings.action_ms / 1_000, self._go_on, account, run, settings)
            case _:
                is_strong = bool(settings.weak) and run.asked.processor not in settings.weak.split("+")
                is_low = not is_strong and self.chance.hits(settings, settings.low, "low", run.key)
                run.output = output_of(run.asked, is_low=is_low, of_elements=bool(settings.element_basis))
                run.progress("result", f"Found {run.key}")
                self._end(account, run, settings, "completed")

    def _go_on(self, account: Account, run: Run, settings: Settings) -> None:
        self._become(run, "running")
        self._later(0.0, self._come_to, account, run, settings, "")

    def _end(self, account: Account, run: Run, settings: Settings, status: str) -> None:
        self._become(run, status)
        self.counts.inflight -= 1
        account.settle(run, settings)
        run.over.set()
        if run.asked.webhook:
            self.hooks.tell(run.asked.webhook, run.told(), run.key, settings)

    def _become(self, run: Run, status: str) -> None:
        group, before = run.group, run.status
        run.status, run.modified = status, moment()
        if group is not None:
            group.counts[before] -= 1
            group.counts[status] += 1
            group.modified = run.modified
            if status not in ACTIVE:
                group.ends.append((run, run.told()))
            group.pulse.beat()
        run.pulse.beat()

    def _later(self, seconds: float, then: Callable[..., None], *told: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, self._unless_over, then, told)

    def _unless_over(self, then: Callable[..., None], told: tuple[Any, ...]) -> None:
        if not self._is_over:
            then(*told)

    def add_group(self, account: Account, metadata: Metadata | None) -> Group:
        """A new group without runs."""
        group = Group(metadata)
        account.groups[group.group_id] = group
        return group

    def all_runs(self) -> Iterator[Run]:
        """Every run of every key, in the order of its making within the key."""
        for account in self.accounts.values():
            yield from account.runs.values()

    def started(self, field: str = "") -> Counter[str]:
        """Runs made by row, or by the value of another metadata field."""
        if not field:
            return Counter(run.key for run in self.all_runs())
        values = ((run.asked.metadata or {}).get(field) for run in self.all_runs())
        return Counter(str(value) for value in values if value is not None)

    def report(self) -> dict[str, object]:
        """All figures, as GET /stats prints them."""
        accounts = self.accounts.values()
        return {
            **self.counts.report(),
            "groups": sum(len(account.groups) for account in accounts),
            "runs_by_status": dict(Counter(run.status for run in self.all_runs())),
            "rows_started": tally(self.started().values()),
            "rows_completed": tally(
                Counter(run.key for run in self.all_runs() if run.status == "completed").values()
            ),
            "rows_read": len({run.key for run in self.all_runs() if run.results_read}),
            "runs_ended_unread": sum(run.status in ENDED and not run.results_read for run in self.all_runs()),
            "usd_spent": sum(account.spent for account in accounts) / 1_000,
            "usd_reserved": sum(account.reserved for account in accounts) / 1_000,
            "usd_reserved_max": sum(account.reserved_max for account in accounts) / 1_000,
        }
