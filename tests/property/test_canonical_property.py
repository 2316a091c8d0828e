"""Equal values are equal bytes, and every value a record can hold comes back."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gitrun.model.canonical import decode, encode, encode_line, path_bytes, path_text

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary().map(path_text)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["$int", "$bytes", "$float", "$object"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)


@given(VALUES)
def test_every_value_comes_back(value: object) -> None:
    assert decode(encode(value)) == value
    line = encode_line(value)
    assert decode(line) == value
    assert line.count(b"\n") == 1


@given(st.binary())
def test_every_path_comes_back(path: bytes) -> None:
    assert path_bytes(decode(encode(path_text(path)))) == path


@given(st.floats())
def test_every_float_comes_back(value: float) -> None:
    back = decode(encode(value))
    assert back == value or (math.isnan(back) and math.isnan(value))
