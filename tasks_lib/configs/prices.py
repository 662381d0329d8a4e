"""What a model's tokens cost: the user's own prices, then the bundled ones; free is free."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint

from tasks_lib.configs.beside import beside
from tasks_lib.configs.document import read_document
from tasks_lib.configs.parallel_prices import processor_price
from tasks_lib.configs.price_file import PriceFile, PricesFile
from tasks_lib.configs.problems import ConfigError, Problem
from tasks_lib.configs.validation import validated
from tasks_lib.domain.pricing import FREE, PriceList, Prices
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import Model

_SOURCE: Final = f"genai-prices {version('genai-prices')}"
_DEAREST_HOUR: Final = f"{_SOURCE}, dearest hour"
_DEAREST_OUTPUT: Final = f"{_SOURCE}, dearest output"
_DEAREST_INPUT: Final = f"{_SOURCE}, dearest input"

# Whose prices hold for a provider of ours, where the address does not tell (it may be that of a gateway).
_BILLED_BY: Final = {
    name: name
    for name in ("openai", "anthropic", "deepseek", "groq", "mistral", "together", "openrouter", "google")
}

# Units that a chat about text never uses, or whose use the protocol does not report.
_ELSEWHERE: Final = ("cache_write_1h", "audio", "image", "video", "document", "searches")
_MEDIA: Final = ("output_image_mtok", "output_audio_mtok")  # a usage does not tell how many are which
_MEDIA_IN: Final = ("input_audio_mtok", "input_image_mtok", "input_video_mtok")  # nor of these
_MEDIA_CACHED: Final = ("cache_audio_read_mtok", "cache_image_read_mtok")
_OURS: Final = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "requests_kcount")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """Prices by model, as of one moment."""

    own: Mapping[str, PriceList] = field(default_factory=dict)  # by provider:name or provider:beginning*
    at: datetime  # with zone
    _known: dict[tuple[Model, Provider, bool], PriceList | None] = field(default_factory=dict, repr=False)

    def price_list(self, model: Model, provider: Provider, *, with_files: bool = False) -> PriceList | None:
        """The prices of a model; None if they are unknown.

        Where files go with a prompt, all of it is priced as the dearest of them: a usage does not tell how
        many tokens were sounds or pictures, and no limit of money is to be passed by them.
        """
        key = (model, provider, with_files)
        if key not in self._known:
            self._known[key] = self._looked_up(model, provider, with_files=with_files)
        return self._known[key]

    def _looked_up(self, model: Model, provider: Provider, *, with_files: bool) -> PriceList | None:
        own = self._own(str(model))
        if own is not None:
            return own
        if provider.protocol == "parallel":
            return FREE if provider.free else processor_price(model)
        if provider.protocol != "local":
            bundled = _bundled(model, provider, self.at, with_files=with_files)
            if bundled is not None:
                return bundled
        return FREE if provider.free or provider.protocol == "local" else None

    def _own(self, name: str) -> PriceList | None:
        """The user's prices: of this very model, or else of the longest beginning."""
        if name in self.own:
            return self.own[name]
        fitting = [key for key in self.own if key.endswith("*") and name.startswith(key[:-1])]
        return self.own[max(fitting, key=len)] if fitting else None


def load_prices(
    path: Path | None, *, overrides: Mapping[str, object] | None = None, at: datetime | None = None
) -> PriceBook:
    """The prices that go with a job or task file, as they were at a moment (now).

    The user's own are in the file that the job's `prices` names, or else in the `prices.yaml` in the job's
    folder or in the one above.

    Raises:
        ConfigError: everything that is wrong with that file.
    """
    found = beside(path, "prices", overrides or {})
    own = {} if found is None else _read(found)
    return PriceBook(own=own, at=at or datetime.now(UTC))


def _read(path: Path) -> Mapping[str, PriceList]:
    document = read_document(path, empty="allowed")
    file = validated(document, PricesFile)
    problems: list[Problem] = []
    for name, price in file.root.items():
        starts = [step.from_tokens for step in price.steps]
        if starts != sorted(set(starts)):
            problems.append(document.problem((name, "steps"), "the steps must rise by 'from'"))
    if problems:
        raise ConfigError(problems)
    return {name: _price_list(price) for name, price in file.root.items()}


def _price_list(file: PriceFile) -> PriceList:
    steps = [(0, file), *((step.from_tokens, step) for step in file.steps)]
    return PriceList(
        steps=tuple(
            (
                start,
                Prices(
                    input=step.input,
                    output=step.output,
                    cached_input=step.cached_input,
                    cache_write=step.cache_write,
                    request=(file.request if step.request is None else step.request) or Decimal(0),
                    source="prices.yaml",
                ),
            )
            for start, step in steps
        )
    )


@cache
def _snapshot() -> DataSnapshot:
    # Thirty thousand lines, which a run that needs no bundled price should not wait for; and a snapshot of
    # our own, so that nothing that updates the package's prices in this process changes a run's.
    from genai_prices.data import providers  # noqa: PLC0415

    return DataSnapshot(providers=providers, from_auto_update=False)


def _bundled(model: Model, provider: Provider, at: datetime, *, with_files: bool) -> PriceList | None:
    snapshot = _snapshot()
    biller = _biller(provider)
    if biller is None:
        return None
    try:
        _, found = snapshot.find_provider_model(model.name, None, biller, None)
    except LookupError:
        return None
    return bundled_prices(found, at, with_files=with_files)


def _biller(provider: Provider) -> str | None:
    """The provider, as the bundled prices call it, by the address or else by the name."""
    try:
        return _snapshot().find_provider(None, None, provider.base_url).id
    except LookupError:
        return _BILLED_BY.get(provider.name)


def bundled_prices(model: ModelInfo, at: datetime, *, with_files: bool = False) -> PriceList | None:
    """The prices of a model at a moment; None if they are not known or not all by the token.

    Where they change with the time of day they are the highest of the day: a batch runs for hours, and it
    must not pass its limit. All that comes from a model which makes pictures or speech is priced as those,
    and so is all that goes to it with files.
    """
    prices = list(
        dict.fromkeys(
            _steps(model.get_prices(moment), with_files=with_files) for moment in _moments(model, at)
        )
    )
    if None in prices:
        return None
    lists = [steps for steps in prices if steps is not None]
    if len(lists) > 1:
        return _dearest(lists, source=_DEAREST_HOUR)
    if any(getattr(model.get_prices(at), name, None) is not None for name in _MEDIA):
        return _dearest(lists, source=_DEAREST_OUTPUT)
    files_differ = with_files and prices[0] != _steps(model.get_prices(at), with_files=False)
    return _dearest(lists, source=_DEAREST_INPUT if files_differ else _SOURCE)


_Rates = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]  # input, output, cached, cache writes, call
_Steps = tuple[tuple[int, _Rates], ...]


def _moments(model: ModelInfo, at: datetime) -> Iterator[datetime]:
    """The moment, and on the same day each hour at which the prices may change."""
    yield at
    if isinstance(model.prices, ModelPrice):
        return
    day = at.astimezone(UTC).date()
    for price in model.prices:
        if isinstance(price.constraint, TimeOfDateConstraint):
            for begins in (price.constraint.start_time, price.constraint.end_time):
                yield datetime.combine(day, begins if begins.tzinfo else begins.replace(tzinfo=UTC))


def _steps(prices: ModelPrice, *, with_files: bool) -> _Steps | None:
    """The prices by the length of the prompt; None if a chat pays for other things too, or it is unknown."""
    told = {key: value for key, value in vars(prices).items() if value is not None}
    if any(key not in _OURS and not any(unit in key for unit in _ELSEWHERE) for key in told):
        return None
    if "input_mtok" not in told or "output_mtok" not in told:
        return None
    rates = [
        told["input_mtok"],
        told["output_mtok"],
        told.get("cache_read_mtok", told["input_mtok"]),
        told.get("cache_write_mtok", told["input_mtok"]),
        told.get("requests_kcount", Decimal(0)) / 1000,
    ]
    outputs = [told["output_mtok"], *(told[name] for name in _MEDIA if name in told)]
    inputs, cached = [rates[0]], [rates[2]]
    if with_files:
        inputs += [told[name] for name in _MEDIA_IN if name in told]
        cached += [told[name] for name in _MEDIA_CACHED if name in told]
    starts = {0}
    for rate in (*rates, *outputs, *inputs, *cached):
        if isinstance(rate, TieredPrices):
            starts.update(
                tier.start + 1 for tier in rate.tiers
            )  # theirs hold above a length, ours from one on
    return tuple(
        (
            start,
            (
                max(_rate(price, start) for price in inputs),
                max(_rate(price, start) for price in outputs),
                max(_rate(price, start) for price in cached),
                _rate(rates[3], start),
                _rate(rates[4], start),
            ),
        )
        for start in sorted(starts)
    )


def _rate(price: Decimal | TieredPrices, tokens: int) -> Decimal:
    """Dollars for a million tokens in a call with so many input tokens."""
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tokens > tier.start), price.base)


def _dearest(lists: list[_Steps], *, source: str) -> PriceList:
    starts = sorted({start for steps in lists for start, _ in steps})
    return PriceList(steps=tuple((start, _prices(lists, start, source=source)) for start in starts))


def _prices(lists: list[_Steps], tokens: int, *, source: str) -> Prices:
    at_length = [next(rates for start, rates in reversed(steps) if tokens >= start) for steps in lists]
    dollars, answers, cached, written, call = (max(rates) for rates in zip(*at_length, strict=True))
    return Prices(
        input=dollars,
        output=answers,
        cached_input=cached,
        cache_write=written if written != dollars else None,
        request=call,
        source=source,
    )
