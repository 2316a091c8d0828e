"""Tables as they are handed out: of Arrow, and for the library that somebody likes to work with.

Those libraries are the user's choice and no dependency of gitrun's: they are asked for when they are wanted.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa


class Table:
    """Rows under named columns; iterating gives each row as a dict."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._table.column_names)

    def to_arrow(self) -> pa.Table:
        """The table as a `pyarrow.Table`."""
        return self._table

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`; raises ImportError where pandas is not installed."""
        _needed("pandas", "to_pandas")
        return self._table.to_pandas()

    def to_polars(self) -> Any:
        """The table as a `polars.DataFrame`; raises ImportError where polars is not installed."""
        return _needed("polars", "to_polars").from_arrow(self._table)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=10_000):
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        return f"<{len(self):,} rows: {', '.join(self.columns)}>"


def _needed(name: str, method: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name != name:
            raise  # it is installed, and lacks something itself
        raise ImportError(f"{method}() needs {name}, which is not installed here: pip install {name}") from problem
