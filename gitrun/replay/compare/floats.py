"""How far two runs of floating-point numbers are apart, in words of numerics: max |Δ|, rms-relative, ULPs, share.

A thread more changes the order of a sum and with it the last bits of most weights, at an unchanged loss; a wrong
seed changes every weight by its own size. One number cannot tell these apart, so four are given. Work goes by
blocks through Arrow's kernels: numpy is no dependency, and a checkpoint of gigabytes has to fit.

Narrow floats (16 and 8 bits) are looked up in a table of all their values, which holds for every version of Arrow.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from gitrun.replay.compare.context import NotThis, Tolerance
from gitrun.replay.compare.window import Window, first_difference
from gitrun.replay.levels import SAME_BYTES, Finding, Level

BLOCK_FLOATS = 1 << 18
_EXACT_ULPS = 1024
_PERCENTILE = 0.99


class Kind(NamedTuple):
    """A floating-point type: `width` bytes a float; a complex value has two `parts`."""

    name: str
    width: int
    parts: int = 1
    is_big_endian: bool = False

    @property
    def value_bytes(self) -> int:
        """Of one value."""
        return self.width * self.parts


FLOAT64, FLOAT32, FLOAT16 = Kind("float64", 8), Kind("float32", 4), Kind("float16", 2)
BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2 = Kind("bfloat16", 2), Kind("float8_e4m3fn", 1), Kind("float8_e5m2", 1)
COMPLEX64, COMPLEX128 = Kind("complex64", 4, 2), Kind("complex128", 8, 2)


class Measured:
    """What has been seen so far of two sequences of floats; `add` takes them block by block, in order.

    Indices count floats from 0. `ulps` is false for numbers that were read from text, where a last place means
    nothing.
    """

    def __init__(self, kind: Kind, tolerance: Tolerance, *, ulps: bool = True) -> None:
        self.kind, self._tolerance, self._counts_ulps = kind, tolerance, ulps
        self.count = self.differing = self.payloads = 0
        self.max_delta = 0.0
        self.first: int | None = None
        self.first_outside: int | None = None
        self.outside_values: tuple[float, float] = (0.0, 0.0)
        self._squares_delta = self._squares = 0.0
        self._ulps: Counter[float] = Counter()

    def add(self, a: bytes, b: bytes) -> None:
        """Two blocks of the same length, as they lie in memory."""
        import pyarrow.compute as pc  # type: ignore[import-not-found,unused-ignore]  # 0.1 s: only where files differ

        if len(a) != len(b) or len(a) % self.kind.width:
            raise NotThis("not a whole number of values")
        left, right = self._bits(a), self._bits(b)
        values = self._values(b, right)
        self._squares += _total(pc.multiply(*[pc.if_else(pc.is_finite(values), values, 0.0)] * 2))
        if a != b:
            apart = pc.not_equal(left, right)
            places = pc.indices_nonzero(apart)
            self.differing += len(places)
            if self.first is None:
                self.first = self.count + places[0].as_py()
            x = self._values(a, left).filter(apart)
            self._add_differing(x, values.filter(apart), places)
            if self._counts_ulps:
                self._add_ulps(left.filter(apart), right.filter(apart), pc.is_nan(x), pc.is_nan(values.filter(apart)))
        self.count += len(right)

    def _add_differing(self, x: Any, y: Any, places: Any) -> None:
        import pyarrow.compute as pc

        both_nan = pc.and_(pc.is_nan(x), pc.is_nan(y))
        self.payloads += _total(both_nan)
        delta = pc.abs(pc.subtract(x, y))
        size = pc.min_element_wise(pc.abs(x), pc.abs(y))
        bound = pc.add(pc.multiply(size, self._tolerance.rtol), self._tolerance.atol)
        is_close = pc.or_(both_nan, pc.and_(pc.is_finite(delta), pc.less_equal(delta, bound)))
        if self.first_outside is None:
            at = pc.index(is_close, False).as_py()
            if at >= 0:
                self.first_outside = self.count + places[at].as_py()
                self.outside_values = (x[at].as_py(), y[at].as_py())
        known = delta.filter(pc.invert(both_nan))
        finite = known.filter(pc.is_finite(known))
        if len(finite):
            self.max_delta = max(self.max_delta, pc.max(finite).as_py())
        if len(finite) < len(known):
            self.max_delta = math.inf
        self._squares_delta += _total(pc.multiply(finite, finite))

    def _add_ulps(self, left: Any, right: Any, nan_a: Any, nan_b: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        numbers = pc.invert(pc.or_(nan_a, nan_b))
        a, b = (self._ordered(each.filter(numbers)) for each in (left, right))
        # The distance of two int64 may need 64 bits: it wraps, and is right when it is read as unsigned.
        distance = pc.subtract(pc.max_element_wise(a, b), pc.min_element_wise(a, b)).view(pa.uint64())
        is_small = pc.less_equal(distance, pa.scalar(_EXACT_ULPS, pa.uint64()))
        large = pc.ceil(pc.log2(pc.cast(distance.filter(pc.invert(is_small)), pa.float64(), safe=False)))
        for counted, scale in ((distance.filter(is_small), False), (large, True)):
            for each in pc.value_counts(counted).to_pylist():
                self._ulps[2.0 ** each["values"] if scale else each["values"]] += each["counts"]

    def _bits(self, data: bytes) -> Any:
        """The floats as signed integers of their width (unsigned for the narrow ones, which are looked up)."""
        import pyarrow as pa

        if self.kind.is_big_endian != (sys.byteorder == "big") and self.kind.width > 1:
            swapped = array({2: "H", 4: "I", 8: "Q"}[self.kind.width], data)
            swapped.byteswap()
            data = swapped.tobytes()
        types = {1: pa.uint8(), 2: pa.uint16(), 4: pa.int32(), 8: pa.int64()}
        return pa.Array.from_buffers(types[self.kind.width], len(data) // self.kind.width, [None, pa.py_buffer(data)])

    def _values(self, data: bytes, bits: Any) -> Any:
        """As float64, exactly."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.kind.width == 8:
            return bits.view(pa.float64())
        if self.kind.width == 4:
            return pc.cast(bits.view(pa.float32()), pa.float64())
        return pc.take(_table(self.kind.name), bits)

    def _ordered(self, bits: Any) -> Any:
        """int64 that count up with the value of the float: neighbours are one apart, and both zeros are 0."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wide = pc.cast(bits, pa.int64())
        if self.kind.width < 4:
            half = 1 << (8 * self.kind.width - 1)
            return pc.if_else(pc.greater_equal(wide, half), pc.subtract(half, wide), wide)
        lowest = pa.scalar(-(1 << (8 * self.kind.width - 1)), pa.int64())
        return pc.if_else(pc.less(wide, 0), pc.subtract(lowest, wide), wide)

    @property
    def is_within(self) -> bool:
        """Whether every pair is close enough; NaN is close to NaN."""
        return self.first_outside is None

    def words(self) -> str:
        """The four numbers, and what is odd."""
        words = [f"max |Δ| {_short(self.max_delta)}"]
        if self._squares > 0 and math.isfinite(self._squares) and math.isfinite(self._squares_delta):
            words.append(f"rms-relative {_short(math.sqrt(self._squares_delta / self._squares))}")
        if self._ulps:
            words.append(f"ULP p99 {self._percentile()}")
        words.append(f"{_share(self.differing, self.count)} of {self.count} values differ")
        if self.payloads:
            words.append(f"{self.payloads} of them NaN with other payloads")
        return ", ".join(words)

    def _percentile(self) -> str:
        """Of the values that differ: nine tenths that are equal would hide how far apart the others are."""
        left, ulps = _PERCENTILE * self._ulps.total(), 0.0
        for each, count in sorted(self._ulps.items()):
            if left > 0:
                ulps = each
            left -= count
        return f"{ulps:.0f}" if ulps <= _EXACT_ULPS else f"up to 2^{int(math.log2(ulps))}"

    def finding(self, place: Any = str) -> Finding:
        """The level; `place` turns the index of a value into words."""
        if not self.differing:
            return SAME_BYTES
        if self.is_within:
            return Finding(Level.TOLERANCE, self.words(), place((self.first or 0) // self.kind.parts))
        where = place((self.first_outside or 0) // self.kind.parts)
        a, b = self.outside_values
        return Finding(Level.DIFFERS, f"{a!r} against {b!r} at {where}; {self.words()}", where)


def compare_floats(a: Window, b: Window, kind: Kind, tolerance: Tolerance, place: Any = str) -> Finding:
    """What two contents, floats and nothing else, have in common; raises NotThis where their sizes do not fit."""
    if a.size != b.size or a.size % kind.value_bytes:
        raise NotThis("not the same whole number of values")
    if first_difference(a, b) is None:
        return SAME_BYTES
    measured = Measured(kind, tolerance)
    for left, right in zip(_blocks(a, kind), _blocks(b, kind), strict=True):
        measured.add(left, right)
    return measured.finding(place)


def compare_doubles(a: array[float], b: array[float], tolerance: Tolerance, place: Any = str) -> Finding:
    """What two equally long arrays of float64 have in common."""
    measured = Measured(FLOAT64._replace(is_big_endian=sys.byteorder == "big"), tolerance)
    measured.add(a.tobytes(), b.tobytes())
    return measured.finding(place)


def _blocks(window: Window, kind: Kind) -> Iterator[bytes]:
    return window.pieces(BLOCK_FLOATS * kind.width)


@lru_cache
def _table(name: str) -> Any:
    """All values of a narrow float, by their bits."""
    import pyarrow as pa

    if name == "float16":
        values: list[float] = list(struct.unpack("<65536e", struct.pack("<65536H", *range(65536))))
    elif name == "bfloat16":
        values = list(struct.unpack("<65536f", struct.pack("<65536I", *(bits << 16 for bits in range(65536)))))
    elif name == "float8_e5m2":
        values = list(struct.unpack("<256e", struct.pack("<256H", *(bits << 8 for bits in range(256)))))
    else:
        values = [_e4m3(bits) for bits in range(256)]
    return pa.array(values, pa.float64())


def _e4m3(bits: int) -> float:
    """The OCP 8-bit float with four bits of exponent: no infinities, one NaN of either sign."""
    exponent, fraction = (bits >> 3) & 15, bits & 7
    if bits & 0x7F == 0x7F:
        return math.nan
    size = math.ldexp(fraction, -9) if exponent == 0 else math.ldexp(8 + fraction, exponent - 10)
    return -size if bits & 0x80 else size


def _total(values: Any) -> Any:
    import pyarrow.compute as pc

    return pc.sum(values).as_py() or 0


def _short(value: float) -> str:
    return f"{value:.2g}"


def _share(part: int, whole: int) -> str:
    """A percentage that is neither 0 nor 100 unless it is."""
    percent = 100 * part / whole
    if part == whole:
        return "100 %"
    return f"{min(percent, 99.9):.1f} %" if percent >= 0.1 else "less than 0.1 %"
