"""Facts from one ledger into another: what is not there yet, in parcels, as often as one likes."""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from time import sleep
from typing import Final

from tasks_lib.domain.chance import fraction
from tasks_lib.ledger.team.origin import BatchThere, Origin, Whose, free_view_name
from tasks_lib.ledger.team.parcel import COUNTED, NO_BATCH, Parcel
from tasks_lib.ledger.team.place import MovedOn, Place, counts_there

_TRIES: Final = 30
_LONGEST_PAUSE: Final = 2.0  # seconds


@dataclass(slots=True, kw_only=True)
class Carried:
    """What was brought."""

    batches: int = 0
    task_runs: int = 0
    parcels: int = 0
    left: list[str] = field(default_factory=list)  # batches that the place has more of than we have


def carry(
    origin: Origin,
    place: Place,
    *,
    whose: Whose,
    job: str | None = None,
    not_these: Collection[str] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Carried:
    """Bring what a place lacks of batches: twice, at once or killed in the middle, it is there once.

    Args:
        origin: where the facts are.
        place: where they go.
        whose: which batches: those that ran into the origin, or those that were brought there.
        job: only batches of this job; None: of any.
        not_these: ids of batches to leave out.
        stopped: whether to end after the parcel under way.

    Raises:
        Unreachable: the place or the origin does not answer; what was taken in stands.
        LedgerError: the place refuses it.
    """
    carried = Carried()
    there = _publications(place)
    for batch in origin.batches(whose, job=job):
        known = there.get(batch.id)
        if batch.id in not_these or stopped() or _is_whole(batch, known):
            continue
        if known is not None and any(known.counts[name] > count for name, count in batch.counts.items()):
            carried.left.append(batch.id)
            continue
        _carry_batch(origin, place, batch, known, carried=carried, stopped=stopped)
    return carried


def _carry_batch(
    origin: Origin,
    place: Place,
    batch: BatchThere,
    known: BatchThere | None,
    *,
    carried: Carried,
    stopped: Callable[[], bool],
) -> None:
    """Bring one batch; where others come between, look again and go on from there."""
    brought = 0
    for tries in range(_TRIES):
        if tries:
            sleep(_pause(batch.id, tries))
            known = _publications(place).get(batch.id)
            origin.forget(batch.id)
            if _is_whole(batch, known):
                break
        try:
            for parcel in _parcels(origin, place, batch, known):
                place.take(parcel)
                brought += 1
                carried.task_runs += parcel.label.rows.get("task_runs", 0)
                if stopped():
                    break
            break
        except MovedOn:
            if tries == _TRIES - 1:
                raise
    carried.parcels += brought
    carried.batches += bool(brought)


def _parcels(origin: Origin, place: Place, batch: BatchThere, known: BatchThere | None) -> Iterator[Parcel]:
    wanted, body = origin.view_of(batch.task_id)
    taken = {
        row["id"]: row["name"]
        for row in place.ask("select id::varchar as id, results_view as name from tasks").to_pylist()
    }
    name = free_view_name(wanted, batch.task_id, taken=taken)
    if body is not None and known is None:  # before the task is there, so that no kill leaves it without
        place.make_view(name, body)
    groups = {row["id"] for row in place.ask("select id::varchar as id from reporting_groups").to_pylist()}
    yield from origin.parcels(batch, there=known, results_view=name, groups_there=groups)


def _publications(place: Place) -> dict[str, BatchThere]:
    counted = ", ".join(COUNTED)
    found = place.ask(
        f"select batch_id::varchar as id, parcel::varchar as parcel, record, {counted} from publications "
        f"where batch_id <> '{NO_BATCH}'"
    )
    return {
        row["id"]: BatchThere(
            id=row["id"], task_id="", record=row["record"], counts=counts_there(row), parcel=row["parcel"]
        )
        for row in found.to_pylist()
    }


def _is_whole(batch: BatchThere, known: BatchThere | None) -> bool:
    return known is not None and known.record == batch.record and known.counts == batch.counts


def _pause(batch_id: str, tries: int) -> float:
    """Seconds before looking again: two that met should not meet again."""
    longest = min(0.05 * 2.0**tries, _LONGEST_PAUSE)
    return longest * (0.5 + fraction(batch_id, str(tries)) / 2)
