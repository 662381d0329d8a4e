"""What rows change for themselves: found and checked before the first call, and a revision for each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from tasks_lib.configs import check_hosted, provider_of, secret_for
from tasks_lib.domain.assignment import Assigned
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.overrides import Overrider
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import Revision
from tasks_lib.job.abilities import why_not_answered
from tasks_lib.job.checks import check_before_rows
from tasks_lib.job.hosted import wrong_with_choice
from tasks_lib.job.setup import Setup, check_money, check_workers
from tasks_lib.rows import OpenSource

MOST_COMBINATIONS: Final = 500  # each is a revision in the ledger, and perhaps an account
_AT_A_TIME: Final = 10_000  # rows
_SHOWN: Final = 10  # mistakes that are told at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A combination of changes, with the first row that has it."""

    row: Row
    values: dict[str, JsonValue]


def with_variants(setup: Setup, source: OpenSource, *, limit: int | None) -> Setup:
    """The setup with a revision for each combination of changes that the source's rows ask for.

    Raises:
        Mistake: as below.
    """
    columns = setup.job.overrides.columns
    if not columns:
        return setup
    stretches = source.rows(size=_AT_A_TIME, limit=limit, columns=columns)
    return with_variants_of(setup, chain.from_iterable(stretches), described=source.description)


def with_variants_of(setup: Setup, rows: Iterable[Row], *, described: str) -> Setup:
    """The setup with a revision for each combination of changes that some rows ask for.

    Raises:
        Mistake: a row asks for what there is not, or cannot be had; with the number of the first that does.
    """
    job = setup.job
    if not job.overrides.columns:
        return setup
    overrider = Overrider(job.task, job.overrides)
    own = {revision.fingerprint for revision in job.task.revisions}
    variants: dict[str, Revision] = {}
    mistakes: list[str] = []
    for asked in _combinations(setup, rows, described=described):
        for revision in job.task.revisions:
            assigned = overrider.of(asked.values, Assigned(revision, "only"))
            wrong = assigned.problem.message if assigned.problem is not None else None
            wrong = wrong or _wrong(setup, assigned.revision)
            if wrong is not None:
                mistakes.append(f"{described}, row {asked.row.number}: {wrong}")
                break
            if assigned.revision.fingerprint not in own:
                variants.setdefault(assigned.revision.fingerprint, assigned.revision)
    if mistakes:
        more = len(mistakes) - _SHOWN
        raise Mistake("\n".join([*mistakes[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]))
    with_them = replace(setup, job=replace(job, variants=tuple(variants.values())))
    check_before_rows(with_them)
    check_workers(with_them)
    check_money(with_them, job.limits)
    return with_them


def _combinations(setup: Setup, rows: Iterable[Row], *, described: str) -> list[_Asked]:
    """The distinct changes that rows ask for, in the order in which they come."""
    columns = setup.job.overrides.columns
    found: dict[str, _Asked] = {}
    for row in rows:
        values = {column: row.values.get(column) for column in columns}
        key = repr(tuple(values.values()))
        if key in found:
            continue
        found[key] = _Asked(row=row, values=values)
        if len(found) > MOST_COMBINATIONS:
            raise Mistake(
                f"{described}: the columns {', '.join(columns)}, which override the task, hold more than "
                f"{MOST_COMBINATIONS} different combinations, each a revision of its own. Put what differs "
                "from row to row into the prompt."
            )
    return list(found.values())


def _wrong(setup: Setup, revision: Revision) -> str | None:
    """Why a revision cannot be run, if it cannot."""
    model = revision.models[0].model
    output = revision.output or setup.job.task.output
    try:
        provider = provider_of(model, setup.providers)
        check_hosted(provider, setup.environment.variables)
        secret_for(provider, setup.environment.variables)
    except Mistake as error:
        return f"override: {error}"
    if setup.job.limits.limit_money and setup.prices.price_list(model, provider) is None:
        return f"override: the price of {model} is unknown, and a limit in dollars could not be kept"
    unanswered = why_not_answered(setup, model, output.modality)
    if unanswered is not None:
        return unanswered
    wrong = next(wrong_with_choice(setup, revision.models[0], output), None)
    return None if wrong is None else f"override: {wrong}"
