"""Of two contents: `bit` for the same bytes and no others, one level in both directions, numbers as numpy has them."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitrun.replay.compare import Tolerance
from gitrun.replay.compare.floats import FLOAT32, Measured
from gitrun.replay.compare.window import same_stream
from tests.unit.replay.compare.pairs import found, level, npy, tarred, zipped

NAMES = st.sampled_from(
    [
        "a.npy",
        "a.npz",
        "a.csv",
        "a.json",
        "a.jsonl",
        "a.txt",
        "a.svg",
        "a.ipynb",
        "a.pdf",
        "a.png",
        "events.tfevents",
        "a",
    ]
)
TEXT = st.text(st.sampled_from('0123456789.eE+-,;\t\n "nainf{}[]:'), max_size=60).map(str.encode)
FLOATS = st.floats(width=32)


@given(NAMES, TEXT | st.binary(max_size=60), TEXT | st.binary(max_size=60))
def test_only_the_same_bytes_are_bit(name: str, a: bytes, b: bytes) -> None:
    assert (level(name, a, b) == "bit") is (a == b)
    assert level(name, a, a) == "bit"


@given(st.sampled_from(["a.csv", "a.json", "a.txt"]), TEXT, st.data())
def test_a_text_with_another_letter_differs(name: str, text: bytes, data: st.DataObject) -> None:
    """Whatever is done to a text that touches no digit behind a point or an `e`, it is not close."""
    at = data.draw(st.integers(0, len(text)))
    assert level(name, text, text[:at] + b"x" + text[at:]) == "differs"


@settings(deadline=None)  # the first call loads Arrow
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=50), st.sampled_from([0.0, 1e-8, 1e-3, 1.0]))
@example([(math.inf, math.inf), (math.nan, math.nan), (1.0, 1.0 + 2**-20)], 1e-3)
def test_close_is_numpys_isclose_in_both_directions(pairs: list[tuple[float, float]], rtol: float) -> None:
    a, b = (np.array(each, np.float32) for each in zip(*pairs, strict=True))
    measured = Measured(FLOAT32, Tolerance(rtol, 1e-8))
    measured.add(a.tobytes(), b.tobytes())
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        close = np.isclose(x, y, rtol, 1e-8, equal_nan=True) & np.isclose(y, x, rtol, 1e-8, equal_nan=True)
        assert measured.is_within == bool(close.all())
        assert measured.differing == int((a.view(np.int32) != b.view(np.int32)).sum())
        apart = np.abs(x - y)[(x != y) & ~(np.isnan(x) & np.isnan(y))]
    largest = float(apart.max()) if len(apart) and not np.isnan(apart).any() else None
    if largest is not None:
        assert measured.max_delta == largest


@given(st.binary(max_size=99), st.binary(max_size=99), st.lists(st.integers(0, 99)), st.lists(st.integers(0, 99)))
def test_streams_are_the_same_however_they_are_cut(a: bytes, b: bytes, cuts: list[int], others: list[int]) -> None:
    def pieces(data: bytes, places: list[int]) -> list[bytes]:
        ends = [0, *sorted(min(each, len(data)) for each in places), len(data)]
        return [data[begin:end] for begin, end in pairwise(ends)]

    assert same_stream(iter(pieces(a, cuts)), iter(pieces(a, others)))
    assert same_stream(iter(pieces(a, cuts)), iter(pieces(b, others))) is (a == b)


VALUES = npy([1.0, 2.0, -3.0], (3, 1))
SPOILED = {
    "a.npz": zipped({"x.npy": VALUES}, 1980),
    "a.tar": tarred({"x.npy": VALUES}),
    "a.npy": VALUES,
}


@settings(max_examples=200)
@given(st.sampled_from(sorted(SPOILED)), st.data())
def test_a_flipped_bit_is_never_the_same(name: str, data: st.DataObject) -> None:
    whole = SPOILED[name]
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    spoiled = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    told = found(name, whole, spoiled)
    assert told.level.word == "differs" or (told.level.word == "tolerance" and at >= whole.index(struct.pack("<d", 1)))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert level(name, whole, whole[:cut]) == "differs" or (name == "a.tar" and cut % 512 == 0 and cut >= 2048)
