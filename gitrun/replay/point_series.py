"""The points of a run cut into series, one for each metric and rank, as flat arrays.

Points are compared by millions, most of them equal. So a series is three arrays of 64 bits each, and two series are
first compared as bytes; only what differs is looked at one by one.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

NONE = -(1 << 63)  # a step or a time that is not there
SeriesKey = tuple[str, int | None]  # name and rank


class Series(NamedTuple):
    """One metric of one rank, by step and time: steps, times in microseconds, values, bit for bit."""

    steps: array[int]
    times: array[int]
    values: array[float]

    def bits(self, begin: int, end: int) -> bytes:
        """The values of some of its points, as bytes."""
        return self.values[begin:end].tobytes()


def series_of(table: pa.Table) -> dict[SeriesKey, Series]:
    """The series of a table of points that is sorted by name and rank."""
    if not table.num_rows:
        return {}
    import pyarrow as pa
    import pyarrow.compute as pc

    table = table.combine_chunks()
    steps, times = (_numbers(pc.fill_null(table[name].cast(pa.int64()), NONE), "q") for name in ("step", "time"))
    values = _numbers(table["value"], "d")
    found: dict[SeriesKey, Series] = {}
    for begin, end in _stretches(table):
        key = table["name"][begin].as_py(), table["rank"][begin].as_py()
        series = Series(steps[begin:end], times[begin:end], values[begin:end])
        before = found.get(key)
        found[key] = series if before is None else _joined(before, series)
    return found


def _joined(a: Series, b: Series) -> Series:
    return Series(a.steps + b.steps, a.times + b.times, a.values + b.values)


def _stretches(table: pa.Table) -> list[tuple[int, int]]:
    """Where each series begins and ends."""
    import pyarrow.compute as pc

    names, ranks = table["name"], pc.fill_null(table["rank"], -1)
    edges = pc.or_(pc.not_equal(names[1:], names[:-1]), pc.not_equal(ranks[1:], ranks[:-1]))
    inner = [at + 1 for at in pc.indices_nonzero(edges).to_pylist()]
    return list(zip([0, *inner], [*inner, table.num_rows], strict=True))


def _numbers(column: Any, code: str) -> array[Any]:
    numbers: array[Any] = array(code)
    for chunk in column.chunks:
        assert chunk.null_count == 0
        data = memoryview(chunk.buffers()[1])
        numbers.frombytes(data[8 * chunk.offset : 8 * (chunk.offset + len(chunk))])
    return numbers
