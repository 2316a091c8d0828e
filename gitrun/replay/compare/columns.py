"""Columns of a table, batch by batch: floats measured, however deep they are nested, all else equal.

Arrow calls 0.0 and -0.0 equal and a NaN not equal to itself, so its own equality is asked only of types that
have no float in them.
"""

from __future__ import annotations

from typing import Any

from gitrun.replay.compare.context import NotThis, Tolerance, worst
from gitrun.replay.compare.floats import FLOAT16, FLOAT32, FLOAT64, Measured
from gitrun.replay.levels import Finding, Level

_MAX_DEPTH = 16


class Columns:
    """The columns of one schema."""

    def __init__(self, schema: Any, tolerance: Tolerance) -> None:
        self._names = [str(name) for name in schema.names]
        self._tolerance = tolerance
        self._measured: dict[str, Measured] = {}
        self._row = 0

    def add(self, a: Any, b: Any) -> Finding | None:
        """Take two batches of the same length; a finding where they differ in more than floats."""
        for index, name in enumerate(self._names):
            if not self._compare(name, a.column(index), b.column(index), 0):
                where = f"{name}, row {self._row + _first_row(a.column(index), b.column(index))}"
                return Finding(Level.DIFFERS, f"the values differ at {where}", where)
        self._row += a.num_rows
        return None

    def finding(self) -> Finding | None:
        """What the floats of all columns have in common; None for the same bits."""
        found = [(name, measured.finding(lambda index: f"value {index}")) for name, measured in self._measured.items()]
        return worst(found, "columns of floats")

    def _compare(self, name: str, a: Any, b: Any, depth: int) -> bool:
        import pyarrow as pa

        if depth > _MAX_DEPTH:
            raise NotThis("columns nested too deep")
        kind = a.type
        if not _has_floats(kind, depth):
            return bool(a.equals(b))
        if isinstance(a, pa.ExtensionArray):
            return self._compare(name, a.storage, b.storage, depth + 1)
        if pa.types.is_dictionary(kind):
            return self._compare(name, a.dictionary_decode(), b.dictionary_decode(), depth + 1)
        if not a.is_null().equals(b.is_null()):
            return False
        if pa.types.is_floating(kind):
            return self._measure(name, a.drop_null(), b.drop_null())
        if pa.types.is_struct(kind):
            fields = zip(kind, a.flatten(), b.flatten(), strict=True)
            return all(self._compare(f"{name}.{field.name}", x, y, depth + 1) for field, x, y in fields)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._compare_lists(name, a, b, depth)
        raise NotThis(f"a column of {kind}")

    def _compare_lists(self, name: str, a: Any, b: Any, depth: int) -> bool:
        import pyarrow.compute as pc  # type: ignore[import-not-found,unused-ignore]

        if not pc.list_value_length(a).equals(pc.list_value_length(b)):
            return False
        return self._compare(f"{name}[]", a.flatten(), b.flatten(), depth + 1)

    def _measure(self, name: str, a: Any, b: Any) -> bool:
        kind = {16: FLOAT16, 32: FLOAT32, 64: FLOAT64}[a.type.bit_width]
        measured = self._measured.setdefault(name, Measured(kind, self._tolerance))
        measured.add(*(_bytes(each, kind.width) for each in (a, b)))
        return True


def _bytes(array: Any, width: int) -> bytes:
    """The values of an array without nulls, as they lie in memory."""
    data = array.buffers()[1]
    begin = array.offset * width
    return bytes(memoryview(data)[begin : begin + len(array) * width]) if len(array) else b""


def _has_floats(kind: Any, depth: int) -> bool:
    import pyarrow as pa

    if depth > _MAX_DEPTH:
        raise NotThis("columns nested too deep")
    if isinstance(kind, pa.BaseExtensionType):
        return _has_floats(kind.storage_type, depth + 1)
    if pa.types.is_dictionary(kind):
        return _has_floats(kind.value_type, depth + 1)
    if kind.num_fields:
        return any(_has_floats(kind.field(index).type, depth + 1) for index in range(kind.num_fields))
    return bool(pa.types.is_floating(kind))


def _first_row(a: Any, b: Any) -> int:
    """The first row of two columns that differ: found by halving, as Arrow only says whether."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        if a.slice(low, middle - low).equals(b.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low
