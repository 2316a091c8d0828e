"""A replay of the beginning of a run: stopped on purpose, and judged by the points it had logged by then.

A training of three days is not trained again to be checked. But what it logged at step 500 depends on every batch,
every weight and every random number before it, so ten minutes that agree bit for bit say much about the rest, and
where they do not agree there is no need to wait for the end. So the journals of the replay are read while it runs:
a point that the run did not have stops it at once; when the step, or the time, is reached, it is stopped as well.
What was stopped has no exit status and no outputs to compare. The points it has are compared once more, all of them,
when they are sealed: what is judged is what is kept.
"""

from __future__ import annotations

import math
import re
import struct
import time
from array import array
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.literals import as_seconds
from gitrun.errors import GitrunError, UsageError
from gitrun.model.ids import short
from gitrun.replay.compare import Tolerance
from gitrun.replay.levels import Level, weakest
from gitrun.replay.metric_match import Metric, near
from gitrun.replay.point_series import NONE, Series, SeriesKey, series_of

if TYPE_CHECKING:
    import pyarrow as pa

    from gitrun.archive.run import Run
    from gitrun.recording.watching import Running
    from gitrun.replay.verdict import Options

_LOOK_S = 0.2
_UNTIL = re.compile(r"(?:step\s*=\s*)?(\d{1,18})")
_BITS = struct.Struct("<d")
Same = Callable[[float, float], bool]


class Goal(NamedTuple):
    """How far a replay goes: to a step, or for some seconds."""

    step: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"step {self.step}" if self.step is not None else f"{self.seconds:g} s"


class Divergence(NamedTuple):
    """The first point that the run did not have: its metric, step and rank."""

    name: str
    step: int
    rank: int | None


class Prefix(NamedTuple):
    """What the beginnings of two runs have in common; `of` counts the points of the whole run."""

    points_compared: int
    of: int
    level: Level
    metrics: list[Metric]

    def to_json(self) -> dict[str, Any]:
        """As a verdict has it."""
        return {"points_compared": self.points_compared, "of": self.of, "level": self.level.word}


def parse_goal(until: str | None, duration: str | None) -> Goal | None:
    """The goal in `--until step=500` or `--for 10m`, None where neither was given; raises UsageError."""
    if until is not None and duration is not None:
        raise UsageError("--until and --for: one of them", next="gitrun replay --help")
    if until is not None:
        match = _UNTIL.fullmatch(until.strip())
        if match is None:
            raise UsageError(f"--until {until}: it is written step=500", next="gitrun replay --help")
        return Goal(step=int(match[1]))
    if duration is not None:
        text = "".join(duration.split())
        seconds = as_seconds(text if text[-1:].isalpha() else text + "s")
        if not seconds:
            raise UsageError(f"--for {duration}: it is written 90s, 10m or 2h", next="gitrun replay --help")
        return Goal(seconds=seconds)
    return None


def same_bits(a: float, b: float) -> bool:
    """Whether two values are the same 64 bits."""
    return _BITS.pack(a) == _BITS.pack(b)


def close(tolerance: Tolerance) -> Same:
    """Whether a replay's value is within a tolerance of the recorded one; NaN is within it of NaN alone."""

    def is_close(replayed: float, recorded: float) -> bool:
        if replayed == recorded or (math.isnan(replayed) and math.isnan(recorded)):
            return True
        if not (math.isfinite(replayed) and math.isfinite(recorded)):
            return False
        return abs(replayed - recorded) <= tolerance.atol + tolerance.rtol * min(abs(replayed), abs(recorded))

    return is_close


class PrefixWatch:
    """Watches a replay while it runs, as `RecordRequest.watcher`; afterwards it knows whether and why it was stopped.

    `recorded` are the points of the run; a point that is not `same` as the recorded one stops the replay. Metrics whose
    names match one of the patterns `ignore` stop nothing, and are not compared.
    """

    def __init__(self, recorded: pa.Table, goal: Goal, same: Same = same_bits, ignore: Collection[str] = ()) -> None:
        self.goal = goal
        self._ignore = tuple(ignore)
        self.recorded = recorded = self._without_ignored(recorded)
        self.stopped: str | None = None
        self.divergence: Divergence | None = None
        self._same = same
        self._known = {key: _Known(series) for key, series in series_of(recorded).items()}
        self._seen = dict.fromkeys(self._known, 0)  # points up to the step of the goal
        self._furthest: dict[int | None, int] = {}  # the last step of each rank
        self._wanted, self._beyond = _wanted(self._known, goal.step)

    def __call__(self, running: Running) -> None:
        """Look at the journals until the command has ended or is stopped."""
        from gitrun.capture.series import Points  # what reads journals, beside a command that runs

        deadline = math.inf if self.goal.seconds is None else time.monotonic() + self.goal.seconds
        points = Points([running.member])
        while not running.wait(max(0.0, min(_LOOK_S, deadline - time.monotonic()))):
            self._take(points)
            if self.divergence is not None:
                name, step, _ = self.divergence
                self.stopped = f"{name} is another at step {step}"
            elif self._is_reached() or time.monotonic() >= deadline:
                self.stopped = f"{self.goal} reached"
            if self.stopped is not None:
                if not running.stop():
                    self.stopped = None  # it had ended by itself, and is judged as a whole
                return

    def compare(self, replayed: pa.Table | None, tolerance: Tolerance) -> Prefix:
        """What the points that were sealed have in common with the run's; None: there are none."""
        found = self.recorded.slice(0, 0) if replayed is None else self._without_ignored(replayed)
        return compare_prefix(self.recorded, found, tolerance)

    def _without_ignored(self, points: pa.Table) -> pa.Table:
        if not self._ignore:
            return points
        import pyarrow as pa
        import pyarrow.compute as pc

        names = pc.unique(points["name"]).to_pylist()
        kept = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in self._ignore)]
        return points.filter(pc.is_in(points["name"], pa.array(kept, pa.string())))

    def _take(self, points: Any) -> None:
        """Compare the points that have come since the last look."""
        for group in points.read().groups:
            columns = [b"".join(column) for column in group.columns]
            group.columns = [[] for _ in columns]  # nothing is kept: a replay may log for hours
            group.count = 0
            if not group.has_step or not columns[0]:
                continue
            steps = array("q", columns[0])
            if steps:
                last = max(steps)
                self._furthest[group.rank] = max(self._furthest.get(group.rank, last), last)
            for name, column in zip(group.names, columns[2:], strict=True):
                known = self._known.get((name, group.rank))
                if known is None:
                    continue  # it is told when all is compared: the name may be written otherwise in the record
                if self.goal.step is not None:
                    self._seen[name, group.rank] += sum(step <= self.goal.step for step in steps)
                step = known.first_unknown(steps, array("d", column), self._same)
                if step is not None and (self.divergence is None or step < self.divergence.step):
                    self.divergence = Divergence(name, step, group.rank)

    def _is_reached(self) -> bool:
        """Whether all points up to the step have come, or every rank has gone beyond it."""
        if self.goal.step is None or not self._beyond:
            return False
        goal = self.goal.step
        if all(self._furthest.get(rank, NONE) > goal for rank in self._beyond):
            return True
        return any(self._wanted.values()) and all(self._seen[key] >= count for key, count in self._wanted.items())


class _Known:
    """A recorded series that is asked whether it has a point."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self._at = 0
        self._by_step: dict[int, list[float]] | None = None

    def first_unknown(self, steps: array[int], values: array[float], same: Same) -> int | None:
        """The step of the first of these points that the series does not have; None: it has them all."""
        begin, end = self._at, self._at + len(steps)
        self._at = end
        if self.series.steps[begin:end] == steps and self.series.bits(begin, end) == values.tobytes():
            return None  # the next ones, as they are expected
        if self._by_step is None:
            self._by_step = {}
            for step, value in zip(self.series.steps, self.series.values, strict=True):
                self._by_step.setdefault(step, []).append(value)
        for step, value in zip(steps, values, strict=True):
            if not any(same(value, known) for known in self._by_step.get(step, ())):
                return step
        return None


def _wanted(known: dict[SeriesKey, _Known], goal: int | None) -> tuple[dict[SeriesKey, int], set[int | None]]:
    """How many points each series has up to a step, and the ranks that go on beyond it."""
    if goal is None:
        return {}, set()
    counts = {key: sum(NONE < step <= goal for step in one.series.steps) for key, one in known.items()}
    return counts, {key[1] for key, one in known.items() if max(one.series.steps, default=NONE) > goal}


def watch_for(run: Run, goal: Goal, options: Options) -> PrefixWatch:
    """The watch over a replay of the beginning of `run`; raises GitrunError where the run has no point to compare."""
    from gitrun.archive.metrics import read_metrics  # Arrow

    points = read_metrics(run)
    if not points.num_rows:
        raise GitrunError(
            f"run {run.id} logged no metrics, so there is no beginning to compare",
            next=f"gitrun replay {short(run.id)}",
        )
    same = close(Tolerance(options.rtol, options.atol)) if options.accept == "tolerance" else same_bits
    return PrefixWatch(points, goal, same, options.ignore)


# -- when all is there


def compare_prefix(recorded: pa.Table, replayed: pa.Table, tolerance: Tolerance) -> Prefix:
    """The points of a replay that was stopped, compared with those of the run at the same steps.

    What the run had logged before the last of them (by its own clock, rank by rank) and the replay has not, is missing.
    """
    known, found = series_of(recorded), series_of(replayed)
    pairs = {key: _matched(known[key], series) for key, series in found.items() if key in known}
    last_times: dict[int | None, int] = {}
    for (name, rank), matched in pairs.items():
        times = known[name, rank].times
        last_times[rank] = max(last_times.get(rank, NONE), max((times[at] for at in matched if at >= 0), default=NONE))
    findings: dict[str, list[Metric]] = {}
    for key in sorted({*known, *found}, key=lambda key: (key[0], -1 if key[1] is None else key[1])):
        name, rank = key
        if key not in known:
            words = f"the run has no such metric{_of_rank(rank)}"
            one = Metric(name, Level.DIFFERS, _step(min(found[key].steps)), words, is_alone=True)
        else:
            one = _agreement(key, known[key], found.get(key), pairs.get(key, []), last_times.get(rank, NONE), tolerance)
        if one.points or one.level == Level.DIFFERS:
            findings.setdefault(name, []).append(one)
    metrics = [_together(some) for some in findings.values()]
    level = weakest(one.level for one in metrics)
    return Prefix(sum(one.points for one in metrics), recorded.num_rows, level, metrics)


def _matched(known: Series, series: Series) -> list[int]:
    """For each point of a replay the place of the one it repeats: of those of its step the next; -1: there is none."""
    count = len(series.steps)
    if known.steps[:count] == series.steps:
        return list(range(count))
    places: dict[int, list[int]] = {}
    for at in range(len(known.steps) - 1, -1, -1):
        places.setdefault(known.steps[at], []).append(at)
    return [some.pop() if (some := places.get(step)) else -1 for step in series.steps]


def _agreement(
    key: SeriesKey, known: Series, series: Series | None, matched: list[int], last_time: int, tolerance: Tolerance
) -> Metric:
    """One series: what is missing of it, what is too much, and how far its values agree."""
    name, rank = key
    found = Metric(name, Level.BIT, None, "", sum(at >= 0 for at in matched), len(known.steps))
    if series is not None:
        found = _values(found, known, series, matched, tolerance)
        extra = min((step for at, step in zip(matched, series.steps, strict=True) if at < 0), default=None)
        if extra is not None:
            found = _differing(found, extra, f"the replay has a point at step {extra}, the run has none")
    missing = _first_missing(known, set(matched), last_time)
    if missing is not None:
        found = _differing(found, missing, f"the run has a point at step {missing}, the replay has none")
    return found._replace(detail=found.detail + _of_rank(rank)) if found.detail else found


def _values(found: Metric, known: Series, series: Series, matched: list[int], tolerance: Tolerance) -> Metric:
    """How far the values agree that both have."""
    places = [number for number, at in enumerate(matched) if at >= 0]
    before = array("d", [known.values[matched[number]] for number in places])
    after = array("d", [series.values[number] for number in places])
    if before.tobytes() == after.tobytes():
        return found
    import pyarrow as pa

    level, words = near(pa.array(before, pa.float64()), pa.array(after, pa.float64()), tolerance)
    first = next(at for at, pair in enumerate(zip(before, after, strict=True)) if not same_bits(*pair))
    step = series.steps[places[first]]
    words = f"{words}; at step {step}: {before[first]!r}, now {after[first]!r}"
    return found._replace(level=level, first_divergent_step=_step(step), detail=words)


def _differing(found: Metric, step: int, words: str) -> Metric:
    """The same metric with one more reason to differ; the earliest step is told."""
    known = found.first_divergent_step
    first = step if known is None else min(known, step)
    detail = f"{found.detail}; {words}" if found.detail else words
    return found._replace(level=Level.DIFFERS, first_divergent_step=_step(first), detail=detail)


def _first_missing(known: Series, matched: set[int], last_time: int) -> int | None:
    """The step of the first point that a replay should have come to, and does not have."""
    last_step = max((known.steps[at] for at in matched if at >= 0), default=NONE)
    for at, (step, moment) in enumerate(zip(known.steps, known.times, strict=True)):
        if at not in matched and (step < last_step if moment == NONE else moment < last_time):
            return step
    return None


def _together(some: list[Metric]) -> Metric:
    """What the ranks of one metric say together: the weakest, and of those the earliest."""
    worst = min(some, key=lambda one: (one.level, one.first_divergent_step is None, one.first_divergent_step or 0))
    return worst._replace(points=sum(one.points for one in some), of=sum(one.of for one in some))


def _step(step: int) -> int | None:
    return None if step == NONE else step


def _of_rank(rank: int | None) -> str:
    return "" if rank is None else f" (rank {rank})"
