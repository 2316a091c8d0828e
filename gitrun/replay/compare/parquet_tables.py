"""Two tables of Parquet: the same one, whoever wrote it, with other words about it. For `parquet`, in its process.

A file says of itself which program wrote it, and programs add words of their own; pages may be packed in
another way. Columns are compared value by value, floats by their bits. Where nothing that may differ does and
the bytes still differ, something was damaged, and the files are not called the same.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from typing import Any

from gitrun.replay.compare.columns import Columns
from gitrun.replay.compare.context import NotThis, Tolerance
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_MAGIC = b"PAR1"
_FOOTER_BYTES = 64 << 20
_CHUNK_BYTES = 2 << 30
_BATCH_ROWS = 1 << 16
_MAX_ROWS = 1 << 32
_PANDAS, _ARROW = b"pandas", b"ARROW:schema"


def compare_tables(a: Window, b: Window, tolerance: Tolerance) -> Finding:
    """What two tables have in common; raises NotThis, and what Arrow raises, for what is no table."""
    left, right = _open(a), _open(b)
    x, y = left.schema_arrow, right.schema_arrow
    if not x.remove_metadata().equals(y.remove_metadata(), check_metadata=True):
        name = next(
            (f.name for f, g in zip(x, y, strict=False) if not f.equals(g, check_metadata=True)), "their number"
        )
        return Finding(Level.DIFFERS, f"the columns are not of the same names and types: {name}", str(name))
    rows = left.metadata.num_rows, right.metadata.num_rows
    if rows[0] != rows[1]:
        return Finding(Level.DIFFERS, f"{rows[0]} and {rows[1]} rows", f"row {min(rows)}")
    columns = Columns(x, tolerance)
    for one, other in _paired(left, right):
        found = columns.add(one, other)
        if found is not None:
            return found
    found = columns.finding()
    return found if found is not None else _same_values(left, right)


def _same_values(a: Any, b: Any) -> Finding:
    """The finding on tables with the same values, from what is said of them."""
    words = [dict(each.metadata.metadata or {}) for each in (a, b)]
    if _of_pandas(words[0]) != _of_pandas(words[1]):
        return Finding(Level.DIFFERS, "pandas would read another index or other types", "the metadata")
    what = [key.decode(errors="replace") for key in sorted(words[0].keys() | words[1].keys())
            if words[0].get(key) != words[1].get(key)]  # fmt: skip
    if a.metadata.created_by != b.metadata.created_by:
        what.append("the program that wrote it")
    if what == [_ARROW.decode()]:  # the columns are the same, so nothing in it had to change
        raise NotThis("what Arrow says of the columns was changed")
    packing = [_packing(each) for each in (a, b)]
    if [row_group[0] for row_group in packing[0]] != [row_group[0] for row_group in packing[1]]:
        raise NotThis("the rows are grouped, or described, in another way")
    if not a.metadata.schema.equals(b.metadata.schema) or a.metadata.format_version != b.metadata.format_version:
        raise NotThis("the columns are described in another way")
    if packing[0] != packing[1]:
        what.append("compression or encoding")
    if not what:
        raise NotThis("bytes differ that nothing explains")
    return Finding(Level.SEMANTIC, f"the same table, only {', '.join(what)} differ", "the metadata")


def _of_pandas(words: dict[bytes, bytes]) -> Any:
    """What pandas reads out of the footer: all it wrote there but its version."""
    told = json.loads(words.get(_PANDAS, b"{}"))
    return {key: value for key, value in told.items() if key not in ("creator", "pandas_version")}


def _packing(file: Any) -> list[tuple[object, object]]:
    """For each group of rows: what has to be equal (its rows, what is said of its values), and how it is packed."""
    found: list[tuple[object, object]] = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        columns = [group.column(each) for each in range(group.num_columns)]
        said = [(each.path_in_schema, each.physical_type, each.num_values, _statistics(each)) for each in columns]
        packed = [(each.compression, each.encodings, each.total_compressed_size) for each in columns]
        found.append(((group.num_rows, said), [(each[0], sorted(each[1])) for each in packed]))
    return found


def _statistics(column: Any) -> str:
    return repr(column.statistics.to_dict()) if column.is_stats_set and column.statistics else ""


def _open(window: Window) -> Any:
    import pyarrow.parquet as pq  # type: ignore[import-not-found,unused-ignore]

    tail = window.read(window.size - 8, 8)
    (footer_bytes,) = struct.unpack("<I", tail[:4])
    if tail[4:] != _MAGIC or footer_bytes > min(_FOOTER_BYTES, window.size - 12):
        raise NotThis("no parquet file")
    file = pq.ParquetFile(_File(window), pre_buffer=False, page_checksum_verification=True)
    if file.metadata.num_rows > _MAX_ROWS:
        raise NotThis("too many rows")
    _check_places(file, window.size - 8 - footer_bytes)
    return file


def _check_places(file: Any, end: int) -> None:
    """Raise NotThis where the columns do not tile the file: what lies between them nobody would compare."""
    places = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        for each in range(group.num_columns):
            column = group.column(each)
            if column.total_uncompressed_size > _CHUNK_BYTES:
                raise NotThis("a column that is too long")
            starts = [column.data_page_offset]
            if column.has_dictionary_page and column.dictionary_page_offset:
                starts.append(column.dictionary_page_offset)
            places.append((min(starts), column.total_compressed_size))
    reached = len(_MAGIC)
    for start, size in sorted(places):
        if start != reached:
            raise NotThis("bytes between the columns")
        reached = start + size
    if reached != end:
        raise NotThis("bytes between the columns and the footer")


def _paired(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """The rows of both as batches of the same length, whatever groups they come in."""
    batches = [file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False) for file in (a, b)]
    left = right = None
    while True:
        left = left if left is not None and left.num_rows else _next(batches[0])
        right = right if right is not None and right.num_rows else _next(batches[1])
        if left is None or right is None:
            if left is not None or right is not None:
                raise NotThis("another number of rows than told")
            return
        rows = min(left.num_rows, right.num_rows)
        yield left.slice(0, rows), right.slice(0, rows)
        left, right = left.slice(rows), right.slice(rows)


def _next(batches: Iterator[Any]) -> Any:
    return next((batch for batch in batches if batch.num_rows), None)


class _File(io.RawIOBase):
    """A window as Arrow reads files."""

    def __init__(self, window: Window) -> None:
        self._window, self._at = window, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._window.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        data = self._window.at_most(self._at, self._window.size if size is None or size < 0 else size)
        self._at += len(data)
        return data
