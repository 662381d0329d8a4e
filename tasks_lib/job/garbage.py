"""How often a process of ours looks for garbage.

All that a row leaves behind goes by itself, with the last reference to it, whether it was answered or failed:
in 100,000 rows the collector found ten objects. Left alone it looks for some as soon as there are 700 objects
more, which are the plans of a few dozen rows: 3,000 times in these 100,000 rows, for 13 to 18 microseconds of
CPU a row.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# With so many objects more the new ones are looked through; each third time what outlived one look is, too,
# and each ninth time all but what was loaded at first: every 50,000 rows or so, for 2 microseconds a row.
_THRESHOLDS: Final = (30_000, 1, 1)


def collect_seldom() -> None:
    """Look for garbage seldom from now on, and never again in what is loaded by now.

    That stays: to look through it again costs a tenth of a second, while all calls wait, or whoever waits for
    the process to end. Only for processes of our own.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # of nothing; else it would look at all only once there is a quarter more than was frozen
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """As `collect_seldom`, while the body runs; afterwards all is as it was before."""
    before = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
