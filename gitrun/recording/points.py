"""The points of a run as a table, also while it is being recorded: then they are still in its journals."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from gitrun.archive.live_view import LiveRun
from gitrun.archive.run import Run
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    import pyarrow as pa


def points_of(run: Run, names: Collection[str] | None = None) -> pa.Table:
    """The points of a run (of these metrics), sorted by name, rank, step and time; empty where it has none.

    Raises DamagedRecord or DamagedStore.
    """
    from gitrun.archive.metrics import read_metrics  # Arrow, for who asks for points
    from gitrun.model.metric_tables import SCHEMA

    if not isinstance(run, LiveRun):
        return read_metrics(run, names)
    import pyarrow as pa

    from gitrun.capture.parquet import tables
    from gitrun.capture.series import Points

    points = Points(LiveDirectory(run.directory).members()).read()
    return pa.concat_tables([SCHEMA.empty_table(), *tables(points.groups, names)])
