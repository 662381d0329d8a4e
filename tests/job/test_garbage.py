"""How often a process of ours looks for garbage."""

import gc
import weakref
from contextlib import suppress

from tasks_lib.job.garbage import seldom_collected


class _Knot:
    """What no reference but its own keeps alive."""

    def __init__(self) -> None:
        self.itself = self


def test_all_is_as_it_was_afterwards() -> None:
    """Thresholds and what is looked through are changed for the body alone, however it ends."""
    before = gc.get_threshold()
    with suppress(KeyError), seldom_collected():
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_garbage_goes_in_the_end() -> None:
    """Knots are found once there are many, those that had grown old before they came apart, too."""
    with seldom_collected():
        old = [_Knot()]
        gc.collect(1)  # now it has outlived two looks
        gone = weakref.ref(old[0])
        old.clear()
        assert gone() is not None
        most = 20 * gc.get_threshold()[0]
        made = 0
        while gone() is not None and made < most:
            _Knot()
            made += 1
        assert gone() is None
