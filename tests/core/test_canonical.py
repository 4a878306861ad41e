"""RFC 8785, for what Liuhen signs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.core.canonical import decode, encode
from archive.core.errors import Malformed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_decodes_to_the_same_value(value):
    assert decode(encode(value)) == value


@given(VALUES)
def test_the_canonical_form_is_json_that_anybody_reads(value):
    assert json.loads(encode(value)) == value


def test_the_published_example_of_key_order_holds():
    # RFC 8785 section 3.2.3
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    encoded = encode(dict.fromkeys(keys, 0)).decode()
    assert list(json.loads(encoded)) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_strings_are_escaped_as_the_standard_says():
    # RFC 8785 section 3.2.2.2: only what must be escaped is, control characters in lower-case hexadecimal
    assert encode('\u20ac$\u000f\u000aA\'B"\\\\"/') == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'
    assert encode("\u007f\u2028") == b'"\x7f\xe2\x80\xa8"'


@pytest.mark.parametrize("value", [1.5, 1.0, 2**53, -(2**53), float("nan"), {1: 2}, "\ud800", {"a": [0.1]}])
def test_what_implementations_write_differently_is_refused(value):
    with pytest.raises(Malformed):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'"\\u0041"', b"1.0", b"01", b"\xff", b"", b"{", b"[" * 100_000, b"-0"],
)
def test_another_spelling_of_a_value_is_refused(data):
    with pytest.raises(Malformed):
        decode(data)
