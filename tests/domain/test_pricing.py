"""What an exchange cost, and the most that it can cost."""

from decimal import Decimal
from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.answer_form import form_in_words
from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.pricing import FREE, PriceList, Prices, cost_of
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.domain.worst import worst_cost
from tests.domain.pieces import BIG, TEXT

PRICE = st.decimals(0, 1_000, places=6)
PRICES = st.builds(
    Prices,
    input=PRICE,
    output=PRICE,
    cached_input=st.none() | PRICE,
    cache_write=st.none() | PRICE,
    request=st.just(Decimal(0)) | PRICE,
    source=st.just("test"),
)
TOKENS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage, input_tokens=TOKENS, output_tokens=TOKENS, cached_tokens=TOKENS, cache_write_tokens=TOKENS
)


@st.composite
def price_lists(draw):
    starts = sorted(draw(st.sets(st.integers(1, 2_000), max_size=3)))
    return PriceList(steps=tuple((start, draw(PRICES)) for start in (0, *starts)))


def prices(inputs="1", output="2", cached=None, written=None, call="0"):
    return Prices(
        input=Decimal(inputs),
        output=Decimal(output),
        cached_input=None if cached is None else Decimal(cached),
        cache_write=None if written is None else Decimal(written),
        request=Decimal(call),
        source="test",
    )


@pytest.mark.parametrize(
    ("usage", "at", "dollars"),
    [
        (Usage(input_tokens=1, output_tokens=0), prices("0.05"), "0.00000005"),
        (Usage(input_tokens=1_000, output_tokens=500), prices("0.25", "2"), "0.00125"),
        (Usage(input_tokens=1_000, output_tokens=0, cached_tokens=400), prices("1", "0", "0.1"), "0.00064"),
        (Usage(input_tokens=1_000, output_tokens=0, cached_tokens=400), prices("1", "0"), "0.001"),
        (Usage(input_tokens=1, output_tokens=1), prices("0.000001", "0.000001"), "0.000000000002"),
        (Usage(input_tokens=10, output_tokens=0, cached_tokens=99), prices("1", "0", "0.5"), "0.000005"),
        (
            Usage(input_tokens=1_000, output_tokens=0, cached_tokens=400, cache_write_tokens=500),
            prices("1", "0", "0.1", "1.25"),
            "0.000765",
        ),
        (Usage(input_tokens=1_000, output_tokens=0, cache_write_tokens=500), prices("1", "0"), "0.001"),
        (
            Usage(input_tokens=9, output_tokens=0, cached_tokens=4, cache_write_tokens=99),
            prices("1", "0", "0", "2"),
            "0.00001",
        ),
        (Usage(input_tokens=0, output_tokens=0), prices("0", "0", call="0.04"), "0.04"),
        (Usage(input_tokens=1_000, output_tokens=0), prices("1", "0", call="0.04"), "0.041"),
    ],
)
def test_a_cost_is_what_the_price_list_says(usage, at, dollars):
    """Tokens read from a cache or written to it have their own prices, if there are any; a call has one."""
    assert cost_of(usage, at) == Decimal(dollars)


@given(USAGES, PRICES)
def test_a_cost_is_exact(usage, at):
    """To the last of twelve decimals, as fractions reckon it."""
    cached = min(usage.cached_tokens, usage.input_tokens)
    cached_price = at.input if at.cached_input is None else at.cached_input
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    written_price = at.input if at.cache_write is None else at.cache_write
    exact = (
        Fraction(at.input) * (usage.input_tokens - cached - written)
        + Fraction(cached_price) * cached
        + Fraction(written_price) * written
        + Fraction(at.output) * usage.output_tokens
    ) / 1_000_000
    assert Fraction(cost_of(usage, at)) == exact + Fraction(at.request)


@given(TOKENS, TOKENS, TOKENS, TOKENS, PRICES)
def test_costs_add_up_as_tokens_do(input_a, output_a, input_b, output_b, at):
    """Two calls cost what one with the tokens of both would."""
    one, other, both = (
        Usage(input_tokens=inputs, output_tokens=outputs)
        for inputs, outputs in (
            (input_a, output_a),
            (input_b, output_b),
            (input_a + input_b, output_a + output_b),
        )
    )
    assert cost_of(one, at) + cost_of(other, at) == cost_of(both, at) + at.request
    assert both.total_tokens == one.total_tokens + other.total_tokens


@pytest.mark.parametrize(("tokens", "expected"), [(0, 1), (199_999, 1), (200_000, 2), (10**9, 2)])
def test_a_long_prompt_has_its_own_prices(tokens, expected):
    """The step that begins at or below the prompt's length holds for the whole call."""
    steps = PriceList(steps=((0, prices("1")), (200_000, prices("2"))))
    assert steps.for_usage(Usage(input_tokens=tokens, output_tokens=5)).input == expected


@pytest.mark.parametrize(
    "starts", [(), (1,), (0, 0), (0, 5, 3)], ids=["none", "not from 0", "twice", "falling"]
)
def test_a_price_list_that_leaves_a_call_without_prices_is_refused(starts):
    """It begins at 0 and rises."""
    with pytest.raises(ValueError, match="begin"):
        PriceList(steps=tuple((start, prices()) for start in starts))


def test_free_is_free():
    """Zero for every token, and only that is free."""
    usage = Usage(input_tokens=10**9, output_tokens=10**9)
    assert cost_of(usage, FREE.for_usage(usage)) == 0
    assert FREE.is_free
    for paid in (prices("1", "0"), prices("0", "1"), prices("0", "0", "1"), prices("0", "0", "0", "1")):
        assert not PriceList(steps=((0, paid),)).is_free
        assert not PriceList(steps=((0, paid),)).is_by_call
    by_call = PriceList(steps=((0, prices("0", "0", call="0.04")),))
    assert by_call.is_by_call
    assert not by_call.is_free


def choice(**parameters):
    return ModelChoice(model=BIG, parameters=parameters)


def test_without_a_bound_there_is_no_worst_case():
    """An answer of any length can cost anything, unless its tokens cost nothing."""
    assert worst_cost([], choice(), TEXT, PriceList(steps=((0, prices()),)), most_output=None) is None
    assert worst_cost([], choice(), TEXT, FREE, most_output=None) == 0
    by_call = PriceList(steps=((0, prices("0", "0", call="0.04")),))
    assert worst_cost([], choice(), TEXT, by_call, most_output=None) == Decimal("0.04")


@given(st.data(), price_lists(), st.lists(st.text(max_size=50), max_size=3), st.integers(1, 500))
def test_no_call_costs_more_than_its_worst_case(data, price_list, texts, most_output):
    """Whatever of the prompt's bytes become tokens, cached or not, and however long the answer may be."""
    schema = data.draw(
        st.sampled_from([None, {"type": "object", "properties": {"größe": {"type": "string"}}}])
    )
    output = Output.of(Modality.JSON, schema)
    messages = [Message(role="user", text=text) for text in texts]
    asked = choice(max_tokens=most_output, stop=["é"])
    worst = worst_cost(messages, asked, output, price_list, most_output=asked.most_output_tokens)
    assert worst is not None
    told = len(orjson.dumps([m.text for m in messages], default=str)) + len(orjson.dumps(schema)) + 80
    usage = Usage(
        input_tokens=(inputs := data.draw(st.integers(0, told) | st.just(told))),
        output_tokens=data.draw(st.integers(0, most_output) | st.just(most_output)),
        cached_tokens=data.draw(st.integers(0, inputs)),
        cache_write_tokens=data.draw(st.integers(0, inputs)),
    )
    assert cost_of(usage, price_list.for_usage(usage)) <= worst


@pytest.mark.parametrize(
    "output",
    [
        Output.of(Modality.CSV, columns=[CsvColumn(name=f"c{n}", description="d" * n) for n in range(40)]),
        Output.of(Modality.CSV, columns=[CsvColumn(name="a", type=ColumnType.NUMBER, nullable=True)]),
        Output.of(Modality.CSV),
        Output.of(Modality.PDF),
        Output.of(Modality.JSON, {"enum": ["x" * 500]}),
    ],
)
def test_what_is_told_of_the_form_is_paid_for(output):
    """The most that a call can cost covers the schema or the words that say how to answer."""
    price_list = PriceList(steps=((0, prices("1", "1")),))
    worst = worst_cost([], choice(), output, price_list, most_output=0)
    words = form_in_words(output) or ""
    told = cost_of(Usage(input_tokens=len(words.encode()), output_tokens=0), prices("1", "1"))
    assert worst is not None
    assert worst >= told
