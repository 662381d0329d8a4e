"""What an exchange cost, from the tokens it used and the prices of its model.

Prices are dollars for a million tokens, exact to six decimals; a cost is exact to twelve. None means
unknown, and never zero.
"""

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from tasks_lib.domain.usage import Usage

MILLION = Decimal(1_000_000)
_COST_STEP = Decimal("1e-12")
_PRICE_STEP = Decimal("1e-6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for a million tokens of each sort and for a call itself, and where the figures come from."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None  # None: cached tokens cost as much as others
    cache_write: Decimal | None = None  # None: tokens that are written into a cache cost as much as others
    request: Decimal = Decimal(0)  # dollars for one call, such as for a picture or a recording
    source: str

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write", "request"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, Decimal(value).quantize(_PRICE_STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A model's prices by the length of the prompt, as several providers have them.

    `steps` rises by the number of input tokens from which its prices hold; the first begins at 0.
    """

    steps: tuple[tuple[int, Prices], ...]

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.steps]
        if not starts or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
            raise ValueError(
                f"prices that begin at {starts} input tokens; the first begins at 0, and they rise"
            )

    @property
    def is_by_call(self) -> bool:
        """Whether tokens cost nothing, so that a call's cost is known whatever it used."""
        return not any(
            step.input or step.output or step.cached_input or step.cache_write for _, step in self.steps
        )

    @property
    def is_free(self) -> bool:
        """Whether any number of tokens costs nothing."""
        return self.is_by_call and not any(step.request for _, step in self.steps)

    def for_usage(self, usage: Usage) -> Prices:
        """The prices that hold for a call with these tokens."""
        return next(prices for start, prices in reversed(self.steps) if usage.input_tokens >= start)


FREE = PriceList(steps=((0, Prices(input=Decimal(0), output=Decimal(0), source="free")),))


def cost_of(usage: Usage, prices: Prices) -> Decimal:
    """Dollars for a call with these tokens at these prices."""
    cached = min(usage.cached_tokens, usage.input_tokens)
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    per_million = (
        (usage.input_tokens - cached) * prices.input
        + cached * cached_price
        + usage.output_tokens * prices.output
    )
    if usage.cache_write_tokens and prices.cache_write is not None:
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        per_million += written * (prices.cache_write - prices.input)
    return (per_million / MILLION + prices.request).quantize(_COST_STEP)
