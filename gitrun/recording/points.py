"""The points of a run as a table, also while it is being recorded: then they are still in its journals.

So are those of the system series, what the run takes of the machine.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

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


def system_of(run: Run) -> tuple[pa.Table, dict[str, Any]]:
    """The points of its system series, and each series in short as `system` of a record has it.

    Raises DamagedRecord or DamagedStore.
    """
    from gitrun.archive.metrics import decode_metrics
    from gitrun.model.metric_tables import SCHEMA
    from gitrun.recording.system_series import PART, read_system_series, summary

    if not isinstance(run, LiveRun):
        data = run.part(PART)
        return SCHEMA.empty_table() if data is None else decode_metrics(data), run.record.get("system") or {}
    import pyarrow as pa

    from gitrun.capture.parquet import tables

    groups, _ = read_system_series(LiveDirectory(run.directory).members())
    names = sorted({name for group in groups for name in group.names})
    return pa.concat_tables([SCHEMA.empty_table(), *tables(groups)]), {name: summary(groups, name) for name in names}
