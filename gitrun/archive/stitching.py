"""The metrics of a training that was told in legs, as if it had run once.

A run that goes on from a checkpoint has lost what came after it and does those steps again. So what a leg logged
replaces what the legs before it had, from its first step on, in every metric: also in one that it has not logged yet,
whose later points belong to steps that were undone. The first step of a leg is that of the metric it logged most: a
number of parameters, logged once as step 0, does not undo the training. That one is replaced from its own first step.

Points without a step are nowhere in this order, and all of them stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from gitrun.archive.archive import Archive
from gitrun.archive.chains import earlier_legs
from gitrun.archive.metrics import only
from gitrun.archive.run import Run

Read = Callable[[Run, Collection[str] | None], pa.Table]
_FIRST = -(1 << 63)  # a point without a step, a time or a rank comes before those with one


def read_legs(archive: Archive, run: Run, names: Collection[str] | None, read: Read) -> pa.Table:
    """The points of a run and of the legs that led to it (of these metrics), sorted; `read` reads those of one run."""
    legs = [*earlier_legs(archive, run), run]
    if len(legs) == 1:
        return read(run, names)
    table = reduce(stitch, (read(leg, None) for leg in legs))
    return table if names is None else only(table, names)


def stitch(before: pa.Table, leg: pa.Table) -> pa.Table:
    """Two tables of points as one: `leg` replaces what `before` has from its first step on."""
    firsts = leg.group_by("name").aggregate([("step", "min"), ("step", "count")])
    firsts = firsts.filter(pc.is_valid(firsts["step_min"]))
    if firsts.num_rows:
        main = firsts.sort_by([("step_count", "descending"), ("step_min", "ascending")])["step_min"][0]
        places = pc.index_in(before["name"], value_set=firsts["name"].combine_chunks())
        own = pc.fill_null(firsts["step_min"].take(places), main)
        before = before.filter(pc.fill_null(pc.less(before["step"], pc.min_element_wise(own, main)), True))
    return _sorted(pa.concat_tables([before, leg]))


def _sorted(table: pa.Table) -> pa.Table:
    keys = {key: pc.fill_null(table[key].cast(pa.int64()), _FIRST) for key in ("rank", "step", "time")}
    order = pa.table({"name": table["name"], **keys})
    return table.take(pc.sort_indices(order, sort_keys=[(key, "ascending") for key in order.column_names]))
