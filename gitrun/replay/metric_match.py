"""What two runs have in common of what they logged, metric by metric and point by point.

Points correspond by step, and within one step by their order; the time at which they were logged says nothing of the
result. Equal means the same 64 bits, also of a value that is no number. Where values are only near to each other, it
is said how near: the largest difference, the difference against the size of the values, the last places that 99 of
100 differing values are within, and how many differ. The first step that differs is where a researcher begins.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from gitrun.model.canonical import encode_line
from gitrun.recording.measuring import MAX_TEXT
from gitrun.replay.compare import Tolerance
from gitrun.replay.levels import Level

_MOST_PLACES = 1 << 16
SUMMARY = "summary."


class Metric(NamedTuple):
    """A metric as a verdict has it. `points` counts those that both have, `of` those of the run.

    `is_alone`: one of the two has no such metric. `first_gap` is how far the first differing values are apart,
    against their size.
    """

    name: str
    level: Level
    first_divergent_step: int | None = None
    detail: str = ""
    points: int = 0
    of: int = 0
    is_alone: bool = False
    first_gap: float | None = None


def match_metrics(recorded: pa.Table, replayed: pa.Table, tolerance: Tolerance) -> list[Metric]:
    """Every metric of the two tables, sorted by name."""
    a, b = _by_name(recorded), _by_name(replayed)
    found = []
    for name in sorted(a.keys() | b.keys()):
        if name not in b:
            found.append(_alone(name, "the replay did not log it", a[name], a[name].num_rows))
        elif name not in a:
            found.append(_alone(name, "only the replay logged it", b[name], 0))
        else:
            found.append(_match(name, a[name], b[name], tolerance))
    return found


def match_summaries(recorded: Mapping[str, Any], replayed: Mapping[str, Any], tolerance: Tolerance) -> list[Metric]:
    """What the programs said of themselves with `gitrun.summary`, as metrics of one value each."""
    found = []
    for name in sorted(recorded.keys() | replayed.keys()):
        told = SUMMARY + name
        if name not in replayed or name not in recorded:
            words = "the replay did not say it" if name in recorded else "only the replay said it"
            found.append(Metric(told, Level.DIFFERS, None, words, 0, int(name in recorded), True))
            continue
        a, b = recorded[name], replayed[name]
        if type(a) is float and type(b) is float:
            one = pa.table({"step": pa.array([0], pa.int64()), "rank": pa.nulls(1, pa.int32()), "value": [a]})
            other = one.set_column(2, "value", pa.array([b], pa.float64()))
            found.append(_match(told, one, other, tolerance)._replace(first_divergent_step=None))
        elif encode_line(a) == encode_line(b):  # as it is written: 1, 1.0 and true are equal only to Python
            partly = next(filter(None, map(_why_not_all, (a, b))), "")
            found.append(Metric(told, Level.UNVERIFIABLE if partly else Level.BIT, None, partly, 1, 1))
        else:
            found.append(Metric(told, Level.DIFFERS, None, f"it was {_short(a)}, now {_short(b)}", 1, 1))
    return found


def _why_not_all(value: Any) -> str:
    """Why a value of a summary is not recorded whole, so that two of them may only look the same."""
    if type(value) is str and len(value) >= MAX_TEXT:
        return f"only its first {MAX_TEXT:,} characters are recorded"
    return "it may hold a secret, which is not recorded" if b"<secret:" in encode_line(value) else ""


def _by_name(table: pa.Table) -> dict[str, pa.Table]:
    """The points by metric; the table is sorted by name, so each is a slice of it."""
    names = table["name"].combine_chunks()
    if isinstance(names, pa.ChunkedArray):
        names = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], pa.string())
    runs, start = pc.run_end_encode(names), 0
    found: dict[str, pa.Table] = {}
    for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        part = table.slice(start, end - start)
        if name is not None:
            found[name] = pa.concat_tables([found[name], part]) if name in found else part
        start = end
    return found


def _alone(name: str, words: str, points: pa.Table, of: int) -> Metric:
    first = pc.min(points["step"]).as_py()
    return Metric(name, Level.DIFFERS, first, f"{words} ({points.num_rows:,} points)", 0, of, True)


def _match(name: str, a: pa.Table, b: pa.Table, tolerance: Tolerance) -> Metric:
    """One metric, rank by rank."""
    ranks = sorted(_ranks(a) | _ranks(b), key=lambda rank: -(1 << 40) if rank is None else rank)
    found = [(rank, _match_rank(_of_rank(a, rank), _of_rank(b, rank), tolerance)) for rank in ranks]
    rank, worst = min(found, key=lambda one: (one[1].level, one[1].step is None, one[1].step or 0))
    steps = [each.step for _, each in found if each.step is not None]
    detail = f"rank {rank}: {worst.detail}" if worst.detail and len(found) > 1 and rank is not None else worst.detail
    points = sum(each.points for _, each in found)
    return Metric(name, worst.level, min(steps, default=None), detail, points, a.num_rows, first_gap=worst.gap)


class _Found(NamedTuple):
    level: Level
    step: int | None
    detail: str
    points: int
    gap: float | None = None


def _ranks(table: pa.Table) -> set[int | None]:
    return set(pc.unique(table["rank"]).to_pylist())


def _of_rank(table: pa.Table, rank: int | None) -> pa.Table:
    mask = pc.is_null(table["rank"]) if rank is None else pc.fill_null(pc.equal(table["rank"], rank), False)
    return table.filter(mask)


def _match_rank(a: pa.Table, b: pa.Table, tolerance: Tolerance) -> _Found:
    count, was, now = min(a.num_rows, b.num_rows), a.num_rows, b.num_rows
    a_step, b_step = (_column(side["step"], count, pa.int64()) for side in (a, b))
    a_value, b_value = (_column(side["value"], count, pa.float64()) for side in (a, b))
    same_step = pc.or_(pc.fill_null(pc.equal(a_step, b_step), False), pc.and_(pc.is_null(a_step), pc.is_null(b_step)))
    same_bits = pc.equal(a_value.view(pa.int64()), b_value.view(pa.int64()))
    agrees = pc.and_(same_step, same_bits)
    first = pc.index(agrees, False).as_py() if count else -1
    step = a_step[first].as_py() if first >= 0 else None
    if not pc.all(same_step).as_py() and count:
        at = pc.index(same_step, False).as_py()
        detail = f"point {at + 1:,} has step {a_step[at].as_py()}, now {b_step[at].as_py()}"
        return _Found(Level.DIFFERS, step, detail, count)
    if was != now:
        longer = a if was > now else b
        step = step if step is not None else longer["step"][count].as_py()
        gap = _gap(a_value[first].as_py(), b_value[first].as_py()) if first >= 0 else None
        return _Found(Level.DIFFERS, step, f"{was:,} points, now {now:,}", count, gap)
    if first < 0:
        return _Found(Level.BIT, None, "", count)
    level, detail = near(_array(a_value), _array(b_value), tolerance)
    values = f"; at step {step}: {a_value[first].as_py()!r}, now {b_value[first].as_py()!r}" if step is not None else ""
    return _Found(level, step, detail + values, count, _gap(a_value[first].as_py(), b_value[first].as_py()))


def _gap(was: float | None, now: float | None) -> float | None:
    """How far apart two values are, against their size; None where that is not a number."""
    if was is None or now is None or not (math.isfinite(was) and math.isfinite(now)):
        return None
    return abs(was - now) / max(abs(was), abs(now)) if was != now else 0.0


def _column(column: pa.ChunkedArray, count: int, kind: pa.DataType) -> pa.Array:
    found = column.slice(0, count).combine_chunks()
    if isinstance(found, pa.Array):
        return found
    return pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], kind)


def _array(column: pa.Array) -> pa.Array:
    return pc.fill_null(column, math.nan)


def near(a: pa.Array, b: pa.Array, tolerance: Tolerance) -> tuple[Level, str]:
    """How near two columns of float64 are to each other, that are not the same: the level, and the figures."""
    a, b = a.cast(pa.float64()), b.cast(pa.float64())
    nan = pc.and_(pc.is_nan(a), pc.is_nan(b))
    same = pc.or_(pc.equal(a, b), nan)
    finite = pc.and_(pc.is_finite(a), pc.is_finite(b))
    gap = pc.abs(pc.subtract(a, b))
    size = pc.min_element_wise(pc.abs(a), pc.abs(b))
    close = pc.and_(finite, pc.less_equal(gap, pc.add(tolerance.atol, pc.multiply(size, tolerance.rtol))))
    level = Level.TOLERANCE if pc.all(pc.or_(same, close)).as_py() else Level.DIFFERS
    other_bits = pc.invert(pc.equal(a.view(pa.int64()), b.view(pa.int64())))
    count, changed = len(a), pc.sum(other_bits).as_py()
    words = [f"{changed:,} of {count:,} values differ"]
    measured = pc.and_(finite, pc.invert(pc.equal(a, b)))
    if pc.any(measured).as_py():
        gaps, sizes = gap.filter(measured), b.filter(finite)
        words.append(f"max |Δ| {_figure(pc.max(gaps).as_py())}")
        norm = math.sqrt(_squares(sizes))
        if norm > 0:
            words.append(f"rms-relative {_figure(math.sqrt(_squares(gaps)) / norm)}")
        places = sorted(_places(a.filter(measured), b.filter(measured)))
        words.append(f"ULP p99 {places[min(len(places) - 1, len(places) * 99 // 100)]:,}")
    unmeasured = pc.sum(pc.invert(pc.or_(same, finite))).as_py()
    if unmeasured:
        words.append(f"{unmeasured:,} of them are no number or infinite on one side")
    payloads = pc.sum(pc.and_(nan, other_bits)).as_py()
    if payloads:
        words.append(f"{payloads:,} NaN have other payloads")
    zeros = pc.sum(pc.and_(pc.and_(same, other_bits), pc.invert(nan))).as_py()
    if zeros:
        words.append(f"{zeros:,} zeros have another sign")
    return level, ", ".join(words)


def _squares(values: pa.Array) -> float:
    return pc.sum(pc.multiply(values, values)).as_py() or 0.0


def _places(a: pa.Array, b: pa.Array) -> Iterator[int]:
    """By how many representable values the two differ, of at most so many, evenly chosen."""
    every = max(1, len(a) // _MOST_PLACES)
    for one, other in islice(zip(a[::every].to_pylist(), b[::every].to_pylist(), strict=True), _MOST_PLACES):
        yield abs(_rung(one) - _rung(other))


def _rung(value: float) -> int:
    """A number's place on the ladder of all float64."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & (1 << 63) - 1)


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
