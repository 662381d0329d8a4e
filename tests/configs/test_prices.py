# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data import providers as bundled
from genai_prices.types import ModelInfo, ModelPrice, Tier, TieredPrices, TimeOfDateConstraint
from genai_prices.types import Provider as Biller
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.configs import ConfigError, PriceBook, load_prices, load_providers
from tasks_lib.configs.prices import bundled_prices
from tasks_lib.domain.pricing import FREE, PriceList, Prices, cost_of
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import Model
from tasks_lib.domain.usage import Usage
from tests.configs.project import JOB, Project

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SOURCE = "genai-prices 0.2.3"
FILE = "configs/prices.yaml"
PROVIDERS = load_providers(None, env={})


def prices_of(
    name: str, *, book: PriceBook | None = None, provider: Provider | None = None
) -> PriceList | None:
    model = Model.parse(name)
    return (book or PriceBook(at=NOW)).price_list(model, provider or PROVIDERS[model.provider])


KNOWN = [
    "openai:gpt-5-mini",
    "openai:gpt-5-mini-2025-08-07",
    "openai:gpt-4.1",
    "openai:gpt-4o-mini",
    "anthropic:claude-haiku-4-5",
    "anthropic:claude-sonnet-4-5",
    "groq:llama-3.3-70b-versatile",
    "mistral:mistral-small-latest",
    "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "openrouter:openai/gpt-5-mini",
    "openrouter:google/gemini-2.5-pro",
]


@given(
    name=st.sampled_from(KNOWN),
    input_tokens=st.integers(0, 400_000),
    cached=st.floats(0, 1),
    output_tokens=st.integers(0, 60_000),
)
def test_a_cost_is_what_the_price_package_itself_says(
    name: str, input_tokens: int, cached: float, output_tokens: int
) -> None:
    """To a billionth of a dollar, for prompts of any length, cached or not."""
    model = Model.parse(name)
    usage = Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=int(cached * input_tokens)
    )
    prices = prices_of(name)
    assert prices is not None
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
        ),
        model.name,
        provider_id=model.provider,
        genai_request_timestamp=NOW,
    )
    assert abs(cost_of(usage, prices.for_usage(usage)) - theirs.total_price) <= Decimal("1e-9")


def by_the_token() -> Iterator[tuple[Biller, ModelInfo]]:
    """The bundled models whose prices do not change with the time of day."""
    for biller in bundled:
        for model in biller.models:
            if isinstance(model.prices, ModelPrice) or not any(
                isinstance(price.constraint, TimeOfDateConstraint) for price in model.prices
            ):
                yield biller, model


def test_every_bundled_price_is_theirs_or_unknown() -> None:
    """Whatever the package knows of two thousand models, we say the same cost or none.

    Of models that make pictures or speech we say no less.
    """
    compared = 0
    for biller, model in by_the_token():
        prices = bundled_prices(model, NOW)
        if prices is None:
            continue
        lengths = {100, *(start + step for start, _ in prices.steps for step in (-1, 0, 1) if start)}
        for length in lengths:
            usage = Usage(input_tokens=length, output_tokens=77, cached_tokens=length // 3)
            theirs = model.calc_price(
                genai_prices.Usage(input_tokens=length, cache_read_tokens=length // 3, output_tokens=77),
                biller,
                genai_request_timestamp=NOW,
            )
            more = cost_of(usage, prices.for_usage(usage)) - theirs.total_price
            is_media = prices.steps[0][1].source.endswith("dearest output")
            assert more >= Decimal("-1e-9"), model.id
            assert is_media or more <= Decimal("1e-9"), model.id
        compared += 1
    assert compared > 1500


@pytest.mark.parametrize(
    ("name", "dollars"),
    [
        ("google:gemini-2.5-flash-image", 30),  # its words would cost 2.50
        ("google:gemini-2.5-flash", Decimal("2.5")),
        ("openai:gpt-image-1.5", 32),
    ],
)
def test_what_a_model_of_pictures_makes_is_priced_as_pictures(name: str, dollars: Decimal) -> None:
    """Nobody tells how many of its tokens were words, and a limit of money must hold."""
    prices = prices_of(name)
    assert prices is not None
    _, step = prices.steps[0]
    assert (step.output, step.source) == (
        dollars,
        SOURCE if name.endswith("flash") else f"{SOURCE}, dearest output",
    )


def test_prices_name_their_source() -> None:
    """So that a ledger says where its figures come from."""
    prices = prices_of("openai:gpt-5-mini")
    assert prices == PriceList(
        steps=(
            (
                0,
                Prices(
                    input=Decimal("0.25"), output=Decimal(2), cached_input=Decimal("0.025"), source=SOURCE
                ),
            ),
        )
    )


def test_longer_prompts_have_prices_of_their_own() -> None:
    """Theirs hold above a length, ours from one on."""
    prices = prices_of("openrouter:google/gemini-2.5-pro")
    assert prices is not None
    assert [start for start, _ in prices.steps] == [0, 200_001]


@pytest.mark.parametrize("name", ["deepseek:deepseek-v4-flash", "deepseek:deepseek-v4-pro"])
def test_prices_that_change_with_the_hour_are_the_highest_of_the_day(name: str) -> None:
    """A batch runs for hours, and a limit must hold at each of them; the source says so."""
    model = Model.parse(name)
    prices = prices_of(name)
    assert prices is not None
    usage = Usage(input_tokens=1000, output_tokens=1000, cached_tokens=100)
    hourly = [
        genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1000, output_tokens=1000, cache_read_tokens=100),
            model.name,
            provider_id="deepseek",
            genai_request_timestamp=NOW.replace(hour=hour, minute=minute),
        ).total_price
        for hour in range(24)
        for minute in (0, 30, 59)
    ]
    assert cost_of(usage, prices.for_usage(usage)) == max(hourly) > min(hourly)
    assert prices.steps[0][1].source == "genai-prices 0.2.3, dearest hour"


@pytest.mark.parametrize(
    "prices",
    [
        ModelPrice(input_mtok=Decimal(1)),
        ModelPrice(output_mtok=Decimal(1)),
        ModelPrice(),
        ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), input_mchars=Decimal(5)),
        ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), output_reasoning_mtok=Decimal(5)),
    ],
)
def test_what_is_not_all_by_the_token_is_unknown(prices: ModelPrice) -> None:
    """An unknown cost is told as unknown, and never as a part of it."""
    assert bundled_prices(ModelInfo(id="m", match=None, prices=prices), NOW) is None  # type: ignore[arg-type]  # not matched


def test_prices_of_what_a_chat_does_not_use_do_no_harm() -> None:
    """Searches, sounds and pictures are billed elsewhere."""
    prices = ModelPrice(
        input_mtok=Decimal(1),
        output_mtok=TieredPrices(base=Decimal(2), tiers=[Tier(start=10, price=Decimal(3))]),
        cache_write_1h_mtok=Decimal(9),
        web_searches_kcount=Decimal(10),
        input_audio_mtok=Decimal(7),
    )
    found = bundled_prices(ModelInfo(id="m", match=None, prices=prices), NOW)  # type: ignore[arg-type]  # as above
    assert found is not None
    assert [(start, step.input, step.output, step.cached_input) for start, step in found.steps] == [
        (0, Decimal(1), Decimal(2), Decimal(1)),
        (11, Decimal(1), Decimal(3), Decimal(1)),
    ]


def test_writing_to_a_cache_and_a_call_have_prices_of_their_own() -> None:
    """As Anthropic bills what is written to a cache, and Perplexity each call."""
    cached = prices_of("anthropic:claude-haiku-4-5")
    assert cached is not None
    assert cached.steps[0][1].cache_write == Decimal("1.25")
    usage = Usage(input_tokens=1000, output_tokens=100, cached_tokens=300, cache_write_tokens=600)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=1000, cache_read_tokens=300, cache_write_tokens=600, output_tokens=100
        ),
        "claude-haiku-4-5",
        provider_id="anthropic",
        genai_request_timestamp=NOW,
    )
    assert cost_of(usage, cached.for_usage(usage)) == theirs.total_price
    prices = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), requests_kcount=Decimal(5))
    by_call = bundled_prices(ModelInfo(id="m", match=None, prices=prices), NOW)  # type: ignore[arg-type]  # as above
    assert by_call is not None
    assert by_call.steps[0][1].request == Decimal("0.005")


@pytest.mark.parametrize(
    "name", ["ollama:gpt-oss:20b", "vllm:any", "llamacpp:any", "local:smollm2-135m-instruct"]
)
def test_a_server_of_one_s_own_costs_nothing(name: str) -> None:
    """Its tokens are free, which is not the same as unknown."""
    assert prices_of(name) is FREE


def test_an_unknown_model_has_no_price() -> None:
    """None is unknown, and never zero."""
    assert prices_of("openai:no-such-model") is None
    mine = Provider(name="mine", protocol="openai", base_url="https://llm.example.com/v1")
    assert prices_of("mine:gpt-5-mini", provider=mine) is None


def test_an_address_tells_who_bills() -> None:
    """A provider of any name that leads to a known one has its prices; a known name keeps its own by a gateway."""
    work = Provider(name="work", protocol="openai", base_url="https://api.openai.com/v1")
    assert prices_of("work:gpt-5-mini", provider=work) == prices_of("openai:gpt-5-mini")
    gateway = Provider(name="openai", protocol="openai", base_url="http://127.0.0.1:9000/v1")
    assert prices_of("openai:gpt-5-mini", provider=gateway) == prices_of("openai:gpt-5-mini")


OWN = """\
"openai:gpt-5-mini": {input: 0.1, output: 0.30, cached_input: 0.000001}
"openai:gpt-5*": {input: 7, output: 8}
"openai:*": {input: 1, output: 1}
"ollama:*":
  input: 0.5
  output: 0.5
  steps:
    - {from: 1000, input: 1, output: 2}
    - {from: 5000, input: 2, output: 4, cached_input: 0.2}
"""


def test_the_user_s_own_prices_win(project: Project) -> None:
    """The very model before a beginning, a longer beginning before a shorter, and all of them before the bundled."""
    project.write(FILE, OWN)
    book = load_prices(project.job, at=NOW)

    def price(name: str) -> tuple[Decimal, Decimal, Decimal | None, str]:
        prices = prices_of(name, book=book)
        assert prices is not None
        first = prices.steps[0][1]
        return first.input, first.output, first.cached_input, first.source

    assert price("openai:gpt-5-mini") == (Decimal("0.1"), Decimal("0.3"), Decimal("0.000001"), "prices.yaml")
    assert price("openai:gpt-5-mini-x") == (Decimal(7), Decimal(8), None, "prices.yaml")
    assert price("openai:o3") == (Decimal(1), Decimal(1), None, "prices.yaml")
    assert price("groq:llama-3.3-70b-versatile")[3] == SOURCE
    stepped = prices_of("ollama:llama3", book=book)
    assert stepped is not None
    assert [(start, step.input, step.output, step.cached_input) for start, step in stepped.steps] == [
        (0, Decimal("0.5"), Decimal("0.5"), None),
        (1000, 1, 2, None),
        (5000, 2, 4, Decimal("0.2")),
    ]


def test_the_user_s_prices_tell_cache_writes_and_calls(project: Project) -> None:
    """A call's price holds for every length of the prompt that does not say another."""
    project.write(
        FILE,
        """\
"a:b": {input: 1, output: 2, cache_write: 1.25}
"a:picture": {input: 0, output: 0, request: 0.04}
"a:steps": {input: 1, output: 2, request: 0.01, steps: [{from: 9, input: 2, output: 3}, {from: 99, input: 2, output: 3, request: 0}]}
""",
    )
    own = load_prices(project.job, at=NOW).own
    assert own["a:b"].steps[0][1].cache_write == Decimal("1.25")
    assert own["a:picture"].is_by_call
    assert own["a:picture"].steps[0][1].request == Decimal("0.04")
    assert [step.request for _, step in own["a:steps"].steps] == [Decimal("0.01"), Decimal("0.01"), 0]


def test_a_prices_file_is_found_as_a_providers_file_is(project: Project) -> None:
    """Named by the job, beside it, or one folder up; and none is needed."""
    assert load_prices(None).own == {}
    assert load_prices(project.job).own == {}
    project.write(FILE, '"a:b": {input: 1, output: 1}\n')
    assert list(load_prices(project.job).own) == ["a:b"]
    project.write("p.yaml", '"c:d": {input: 1, output: 1}\n')
    project.write("configs/jobs/job.yaml", JOB + "prices: ../../p.yaml\n")
    assert list(load_prices(project.job).own) == ["c:d"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"a:b": {input: 1}\n', ":1:8: 'output' is missing in a:b"),
        ('"a:b": {input: -1, output: 1}\n', ":1:16: a:b.input must be at least 0, not -1"),
        ('"a:b": {input: cheap, output: 1}\n', ":1:16: a:b.input must be a number, not 'cheap'"),
        ('"a:b": {input: 1, output: 1, outputs: 2}\n', ":1:30: unknown key 'outputs' in a:b. Did you mean 'output'?"),
        (
            '"a:b":\n  input: 1\n  output: 1\n  steps: [{from: 9, input: 1, output: 1}, {from: 9, input: 1, output: 1}]\n',
            ":4:10: the steps must rise by 'from'",
        ),
        (
            '"a:b":\n  input: 1\n  output: 1\n  steps: [{from: 0, input: 1, output: 1}]\n',
            ":4:18: a:b.steps[0].from must be at least 1, not 0",
        ),
        *(
            (
                f'"{name}": {{input: 1, output: 1}}\n',
                f":1:1: the name '{name}' must be of the form provider:name, and may end with * to mean every name "
                "that begins so",
            )
            for name in ("gpt-5", "a:", ":b", "a:*b")
        ),
    ],
)  # fmt: skip
def test_a_prices_file_that_is_wrong_says_where_and_why(project: Project, text: str, message: str) -> None:
    """Each mistake is told with file, line, column and remedy."""
    project.write(FILE, text)
    with pytest.raises(ConfigError) as caught:
        load_prices(project.job)
    assert project.told(caught.value) == [FILE + message]


def test_an_empty_file_is_no_mistake(project: Project) -> None:
    """Somebody who has commented out all entries has none."""
    project.write(FILE, "# none yet\n")
    assert load_prices(project.job).own == {}


def test_prices_are_looked_up_once(tmp_path: Path) -> None:
    """The same model gives the very same list."""
    book = PriceBook(at=NOW)
    assert prices_of("openai:gpt-5-mini", book=book) is prices_of("openai:gpt-5-mini", book=book)


def test_what_goes_with_files_is_priced_as_the_dearest_of_them() -> None:
    """A usage does not tell how many tokens were sounds: with files all are priced so, without them none."""
    model = Model.parse("google:gemini-2.5-flash")
    book = PriceBook(at=NOW)
    words = book.price_list(model, PROVIDERS["google"])
    files = book.price_list(model, PROVIDERS["google"], with_files=True)
    assert words is not None
    assert files is not None
    assert files.steps[0][1].input == Decimal(1) > words.steps[0][1].input
    assert files.steps[0][1].output == words.steps[0][1].output
    assert "dearest input" in files.steps[0][1].source
    plain = Model.parse("anthropic:claude-haiku-4-5")
    same = book.price_list(plain, PROVIDERS["anthropic"], with_files=True)
    assert same == book.price_list(plain, PROVIDERS["anthropic"])
