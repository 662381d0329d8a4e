"""What a run of each of Parallel's processors costs; it is charged for completed runs only, by the run.

https://docs.parallel.ai/getting-started/pricing, as of 2026-11; `-fast` costs the same. Data sources that are
paid by use come on top, and are not told with a run.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tasks_lib.domain.pricing import PriceList, Prices
from tasks_lib.domain.task import Model
from tasks_lib.providers.parallel_parameters import FAST

_SOURCE: Final = "Parallel's prices by processor, 2026-11"
_PER_THOUSAND: Final[Mapping[str, int]] = {  # dollars for 1,000 runs
    "lite": 5,
    "base": 10,
    "core": 25,
    "core2x": 50,
    "pro": 100,
    "ultra": 300,
    "ultra2x": 600,
    "ultra4x": 1_200,
    "ultra8x": 2_400,
}


def processor_price(model: Model) -> PriceList | None:
    """The price of a processor's runs; None if it is not known."""
    dollars = _PER_THOUSAND.get(model.name.removesuffix(FAST))
    if dollars is None:
        return None
    nothing = Decimal(0)
    price = Prices(input=nothing, output=nothing, request=Decimal(dollars) / 1000, source=_SOURCE)
    return PriceList(steps=((0, price),))
