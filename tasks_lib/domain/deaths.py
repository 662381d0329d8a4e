"""Which rows are asked how, when processes died while they were under way.

A process that dies tells nobody why: one of the rows under way may have made it die, or none of them did. So
suspicion is narrowed until one row is left:

deaths of the row                                the row is run
none or one                                      as ever
two or three                                     after all others, in little company: mostly alone
four or more, of which it was alone at two       not at all: it is set aside

A row that is alone is in nobody's way, and whoever is not to blame is answered then. It takes four deaths
to set a row aside, at two of which it was alone, so that no three kills from outside ever do.

The bound: a row that always makes its process die does so at most `most_deaths` times, which is four where up
to 127 rows are under way at once. Each further one takes two more if it was under way beside the first, and
at most four.
"""

from collections.abc import Sequence

_SUSPICIOUS = 2  # deaths
_ENOUGH = 4  # deaths, at so many of which it was alone:
_ALONE = 2
_NARROWED = 64  # one row for so many that were under way: a crowd of suspects is not run one by one


def most_at_once(companies: Sequence[int]) -> int | None:
    """With how many rows at once, itself counted, a row may be run; None: with any number.

    Args:
        companies: for each death of the row, how many rows were under way, itself counted.
    """
    if len(companies) < _SUSPICIOUS:
        return None
    return max(1, min(companies) // _NARROWED)


def is_poisoned(companies: Sequence[int]) -> bool:
    """Whether so much speaks against a row that it is not asked any more; `companies` as above."""
    return len(companies) >= _ENOUGH and sum(company == 1 for company in companies) >= _ALONE


def most_deaths(at_once: int) -> int:
    """After how many deaths, at the most, a row that always kills is set aside, if so many run at once."""
    companies = [at_once, at_once]
    while not is_poisoned(companies):
        companies.append(most_at_once(companies) or at_once)
    return len(companies)


def told(companies: Sequence[int]) -> str:
    """Why a row was set aside, and how it can be asked again."""
    alone = sum(company == 1 for company in companies)
    return (
        f"the process died {len(companies)} times while this row was under way, {alone} times of them while "
        "no other row was. It is not asked any more: change its input, or ask it again with --retry-poisoned"
    )
