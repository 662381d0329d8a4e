"""A team's ledger: facts of many ledgers in one place, where analysts ask."""

from collections.abc import Callable
from pathlib import Path
from socket import gethostname

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.ledger import Ledger, open_ledger
from tasks_lib.ledger.team.carry import Carried, carry
from tasks_lib.ledger.team.home import HomePlace
from tasks_lib.ledger.team.lake import LakePlace
from tasks_lib.ledger.team.origin import Origin, Whose
from tasks_lib.ledger.team.place import MovedOn, Place, Unreachable, check_schema
from tasks_lib.ledger.team.quack import QuackPlace
from tasks_lib.ledger.team.reading import TeamReading
from tasks_lib.ledger.team.roles import Role, Tokens, checked
from tasks_lib.ledger.team.uri import LakeUri, QuackUri, is_team_uri, parse_address, parse_uri

__all__ = [
    "Carried",
    "HomePlace",
    "LakePlace",
    "LakeUri",
    "MovedOn",
    "Origin",
    "Place",
    "QuackPlace",
    "QuackUri",
    "Role",
    "TeamReading",
    "Tokens",
    "Unreachable",
    "Whose",
    "carry",
    "checked",
    "fetch",
    "is_team_uri",
    "open_place",
    "parse_address",
    "parse_uri",
    "publish",
    "publish_file",
    "read_place",
]


def open_place(
    at: QuackUri | LakeUri, *, token: str | None, make: bool = False, read_only: bool = False
) -> Place:
    """A team's ledger, which has the schema that this program knows.

    Args:
        at: where it is.
        token: what a served ledger asks for.
        make: whether an empty lake becomes a ledger.
        read_only: whether a lake is attached so that nothing in it can change.

    Raises:
        Unreachable: nobody answers there.
        LedgerTooNew: a later version of the program made it.
        LedgerError: it is no ledger, an earlier one, or refuses us.
    """
    place: Place
    if isinstance(at, QuackUri):
        place = QuackPlace(at, token=token)
        remedy = "Begin `rowmill ledger serve` there again, with this version: that brings it up to date."
    else:
        place = LakePlace(at, make=make, read_only=read_only)
        remedy = "Publish into a new lake, or with the version that made this one."
    try:
        check_schema(place.ask, name=str(at), remedy=remedy)
    except BaseException:
        place.close()
        raise
    return place


def read_place(at: QuackUri | LakeUri, *, token: str | None) -> TeamReading:
    """A team's ledger to be read, in a `with`.

    Raises:
        Unreachable, LedgerError: see `open_place`.
    """
    return TeamReading(open_place(at, token=token, read_only=True), name=str(at))


def publish(ledger: Ledger, place: Place, *, stopped: Callable[[], bool] = lambda: False) -> Carried:
    """Bring to a place what it lacks of the batches that ran into an open ledger, until it is stopped.

    Raises:
        Unreachable, LedgerError: see `carry`.
    """
    return carry(Origin(HomePlace(ledger).ask, host=gethostname()), place, whose=Whose.OWN, stopped=stopped)


def publish_file(path: Path, place: Place) -> Carried:
    """The same, of a ledger that no process has open.

    Raises:
        LedgerInUse: one has.
        Unreachable, LedgerError: see `carry`.
    """
    with open_ledger(path, read_only=True) as ledger:
        return publish(ledger, place)


def fetch(place: Place, path: Path, *, job: str) -> Carried:
    """Bring home what a place has of a job and a ledger lacks, so that its rows are not asked again.

    Batches that ran into the ledger itself are left as they are.

    Raises:
        LedgerInUse: a process has the ledger.
        Unreachable, LedgerError: see `carry`.
    """
    with open_ledger(path) as ledger:
        home = HomePlace(ledger)
        own = [batch.id for batch in Origin(home.ask, host=gethostname()).batches(Whose.OWN)]
        origin = Origin(place.ask, host=gethostname())
        carried = carry(origin, home, whose=Whose.BROUGHT, job=job, not_these=own)
        if not carried.batches and not own and not origin.batches(Whose.BROUGHT, job=job):
            raise LedgerError(f"there is no batch of a job named {job!r} at that place.")
        return carried
