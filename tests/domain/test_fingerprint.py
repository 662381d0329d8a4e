"""Names for content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.fingerprint import canonical_json, content_hash, identity_of

TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_the_order_of_keys_names_nothing(values):
    """A record hashes to the same 32 hexadecimal digits in whatever order its columns come."""
    backwards = dict(reversed(values.items()))
    assert content_hash(values) == content_hash(backwards)
    assert len(content_hash(values)) == 32
    assert int(content_hash(values), 16) >= 0


@pytest.mark.parametrize("value", [1.0, "1", True, [1], {"1": 1}, None, "", 2])
def test_values_that_differ_are_named_differently(value):
    """1 is not 1.0, "1", true or [1]."""
    assert content_hash({"x": value}) != content_hash({"x": 1})


def test_canonical_json_is_compact_and_sorted():
    """Keys sorted, no spaces, UTF-8."""
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


def test_what_json_cannot_say_is_refused():
    """A value that has no JSON text has no name either."""
    with pytest.raises(TypeError):
        content_hash({"x": {1, 2}})


@given(HEX, HEX, TEXTS, HEX, HEX, TEXTS)
def test_an_identity_differs_when_any_part_does(hash_a, print_a, key_a, hash_b, print_b, key_b):
    """Row key, input hash and fingerprint each make another identity."""
    same = identity_of(key_a, hash_a, print_a)
    assert identity_of(key_a, hash_a, print_a) == same
    for key, inputs, fingerprint in (
        (key_b, hash_a, print_a),
        (key_a, hash_b, print_a),
        (key_a, hash_a, print_b),
    ):
        differs = (key, inputs, fingerprint) != (key_a, hash_a, print_a)
        assert (identity_of(key, inputs, fingerprint) != same) is differs
