"""Arrays and tensors: types, shapes and integers are exact, floats are measured."""

from __future__ import annotations

import json
import math
import struct
from array import array

import pytest

from gitrun.replay.compare import Tolerance
from gitrun.replay.compare.floats import FLOAT64, Measured, compare_doubles
from tests.unit.replay.compare.pairs import found, level, npy

VALUES = [0.0, 1.0, -2.5, 1e-3]


def near(by: float) -> bytes:
    return npy([*VALUES[:2], -2.5 + by, 1e-3])


def test_floats_are_close_or_not() -> None:
    assert level("a.npy", npy(VALUES), near(1e-9)) == "tolerance"
    assert level("a.npy", npy(VALUES), near(1e-3)) == "differs"
    assert level("a.npy", npy(VALUES), near(1e-3), Tolerance(1e-2, 0)) == "tolerance"
    assert level("a.npy", npy(VALUES), near(1e-9), Tolerance(0, 0)) == "differs"


def test_the_words_tell_how_far_apart() -> None:
    told = found("a.npy", npy([1.0] * 99 + [1.0], (10, 10)), npy([1.0] * 99 + [math.nextafter(1, 2)], (10, 10)))
    assert told.level.word == "tolerance" and told.first == "[9, 9]"
    assert told.detail == "max |Δ| 2.2e-16, rms-relative 2.2e-17, ULP p99 1, 1.0 % of 100 values differ"


@pytest.mark.parametrize("descr", ["<f8", ">f8", "<f4", ">f4", "<f2", ">f2"])
def test_every_width_and_order_of_bytes(descr: str) -> None:
    step = {"8": 2.0**-50, "4": 2.0**-22, "2": 2.0**-9}[descr[2]]
    loose = Tolerance(2 * step, 0)
    assert level("a.npy", npy([1.0, 2.0], descr=descr), npy([1.0, 2.0 * (1 + step)], descr=descr), loose) == "tolerance"
    assert level("a.npy", npy([1.0, 2.0], descr=descr), npy([1.0, 3.0], descr=descr), loose) == "differs"
    assert "ULP p99" in found("a.npy", npy([1.0], descr=descr), npy([1.5], descr=descr)).detail


def test_nan_and_infinity() -> None:
    nan, other = (struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48, (0x7FF8 << 48) + 5))
    told = found("a.npy", npy([1.0, nan]), npy([1.0, other]))
    assert told.level.word == "tolerance" and "1 of them NaN with other payloads" in told.detail
    assert level("a.npy", npy([nan]), npy([1.0]), Tolerance(math.inf, math.inf)) == "differs"
    assert level("a.npy", npy([math.inf]), npy([-math.inf]), Tolerance(1, 1)) == "differs"
    assert level("a.npy", npy([math.inf]), npy([1e308]), Tolerance(1, 1)) == "differs"
    assert level("a.npy", npy([1e308]), npy([-1e308]), Tolerance(1, 1)) == "differs"
    assert level("a.npy", npy([math.inf, 1.0]), npy([math.inf, 1.0 + 1e-9])) == "tolerance"
    assert level("a.npy", npy([0.0]), npy([-0.0])) == "tolerance"


def test_integers_shapes_and_types_are_exact() -> None:
    assert level("a.npy", npy([1, 2], descr="<i8"), npy([1, 3], descr="<i8"), Tolerance(9, 9)) == "differs"
    assert level("a.npy", npy([1, 2, 3, 4]), npy([1, 2, 3, 4], (2, 2))) == "differs"
    assert level("a.npy", npy([1, 2]), npy([1, 2], descr="<f4")) == "differs"
    assert level("a.npy", npy([1, 2]), npy([1, 2], descr=">f8")) == "differs"
    assert level("a.npy", npy([1, 2]), npy([1, 2], version=2)) == "semantic"


def test_what_does_not_fill_its_file_is_bytes() -> None:
    one = npy([1.0, 2.0])
    for spoiled in (one + b"\0" * 8, one[:-8], one.replace(b"(2,)", b"(3,)"), one.replace(b"'<f8'", b"'|O8'")):
        assert level("a.npy", one, spoiled) == "differs"
        assert level("a.npy", spoiled, npy([1.0, 2.0 + 1e-9])) == "differs"
    order = one.replace(b"False", b"True ")
    assert level("a.npy", one, order) == "differs"


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_by_name() -> None:
    w, n = ("F32", [2], struct.pack("<2f", 1, 2)), ("I64", [1], struct.pack("<q", 3))
    one = safetensors({"w": w, "n": n}, {"x": "1", "y": "2"})
    assert level("m", one, safetensors({"n": n, "w": w}, {"y": "2", "x": "1"})) == "semantic"
    assert level("m", one, safetensors({"w": w, "n": n}, {"x": "1", "y": "3"})) == "differs"
    assert level("m", one, safetensors({"w": w, "m": n}, {"x": "1", "y": "2"})) == "differs"
    close = ("F32", [2], struct.pack("<2f", 1, 2.000001))
    assert level("m", one, safetensors({"n": n, "w": close}, {"y": "2", "x": "1"})) == "tolerance"
    assert level("m", one, safetensors({"w": w, "n": ("I64", [1], struct.pack("<q", 4))}, {"x": "1", "y": "2"})) == (
        "differs"
    )
    assert level("m", one, safetensors({"w": w, "n": n}, {"y": "2", "x": "1"}) + b"\0") == "differs"


def test_narrow_floats_of_safetensors() -> None:
    for dtype, one, other in (
        ("BF16", b"\x80\x3f", b"\x81\x3f"),
        ("F8_E4M3", b"\x38", b"\x39"),
        ("F8_E5M2", b"8", b"9"),
    ):
        a, b = (safetensors({"w": (dtype, [1], each)}) for each in (one, other))
        told = found("m", a, b, Tolerance(0.3, 0))
        assert told.level.word == "tolerance" and "ULP p99 1," in told.detail
        assert level("m", a, b) == "differs"


def test_a_header_that_lies_is_bytes() -> None:
    one = safetensors({"w": ("F32", [2], struct.pack("<2f", 1, 2))})
    other = safetensors({"w": ("F32", [2], struct.pack("<2f", 1, 2.000001))})
    assert level("m", one, other) == "tolerance"
    for old, new in ((b"[0, 8]", b"[0, 4]"), (b"[2]", b"[1]"), (b"F32", b"I32"), (b'"w"', b'"W"')):
        assert level("m", one, other.replace(old, new)) == "differs"


def test_percentiles_are_of_the_values_that_differ() -> None:
    a, b = array("d", [1.0] * 1000), array("d", [1.0] * 1000)
    for index in range(100):
        b[index] = 1.0 + (1 if index < 98 else 4096) * 2.0**-52
    assert "ULP p99 up to 2^12, 10.0 % of 1000 values differ" in compare_doubles(a, b, Tolerance()).detail


def test_blocks_add_up() -> None:
    measured = Measured(FLOAT64, Tolerance())
    for index in range(4):
        block = array("d", [1.0, 2.0])
        other = array("d", [1.0, 2.0 + (1e-9 if index == 2 else 0) + (1 if index == 3 else 0)])
        measured.add(block.tobytes(), other.tobytes())
    assert (measured.count, measured.differing, measured.first, measured.first_outside) == (8, 2, 5, 7)
