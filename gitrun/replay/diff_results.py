"""What two runs read, wrote and logged: the part of `diff` that needs the files themselves.

The same comparison as in a verdict, so that `diff` and `replay` never say two things of one pair of files. Nothing is
judged here: what is equal is left out, and what differs is told with its figures.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.metrics import read_metrics
from gitrun.archive.run import Run
from gitrun.model.canonical import path_text
from gitrun.replay.compare import Tolerance
from gitrun.replay.entry_side import Side, side_of_run
from gitrun.replay.levels import Level
from gitrun.replay.metric_match import Metric, match_metrics
from gitrun.replay.output_match import Output, match_output
from gitrun.replay.pairing import pair


class InputChange(NamedTuple):
    """A file that two runs read, with the digest each read it with; None where one did not."""

    path: bytes
    a: str | None
    b: str | None


class MetricChange(NamedTuple):
    """A metric that is not the same: how near it is, and its last values."""

    metric: Metric
    a: float | None
    b: float | None


class Results(NamedTuple):
    """What differs between two runs besides their source and surroundings."""

    inputs: list[InputChange]
    outputs: list[Output]
    metrics: list[MetricChange]

    def to_json(self) -> dict[str, Any]:
        """As `gitrun diff --json` has it."""
        return {
            "inputs": [{"path": path_text(one.path), "a": one.a, "b": one.b} for one in self.inputs],
            "outputs": [
                {
                    "path": path_text(one.path),
                    "level": one.level.word,
                    "detail": one.detail,
                    "renamed_from": None if one.renamed_from is None else path_text(one.renamed_from),
                }
                for one in self.outputs
            ],
            "metrics": [
                {
                    "name": one.metric.name,
                    "level": one.metric.level.word,
                    "first_divergent_step": one.metric.first_divergent_step,
                    "detail": one.metric.detail,
                    "a": one.a,
                    "b": one.b,
                }
                for one in self.metrics
            ],
        }


def compare_results(archive: Archive, a: Run, b: Run, tolerance: Tolerance) -> Results:
    """What differs in inputs, outputs and metrics of two sealed runs; raises DamagedRecord or DamagedStore."""
    left, right = side_of_run(archive, a), side_of_run(archive, b)
    return Results(_inputs(left, right), _outputs(left, right, tolerance), _metrics(a, b, tolerance))


def _inputs(a: Side, b: Side) -> list[InputChange]:
    left, right = _digests(a.inputs), _digests(b.inputs)
    return [
        InputChange(path, left.get(path), right.get(path))
        for path in sorted(left.keys() | right.keys())
        if left.get(path) != right.get(path) or (path in left) != (path in right)
    ]


def _digests(entries: list[Entry]) -> dict[bytes, str | None]:
    return {entry.path: entry.sha256 for entry in entries}


def _outputs(a: Side, b: Side, tolerance: Tolerance) -> list[Output]:
    pairs = pair(a.entries, b.entries, [*a.hosts, *b.hosts])
    found = [match_output(one, a, b, tolerance) for one in pairs]
    return [one for one in found if one.level < Level.BIT or one.renamed_from is not None]


def _metrics(a: Run, b: Run, tolerance: Tolerance) -> list[MetricChange]:
    if not (a.record.get("metrics") or b.record.get("metrics")):
        return []
    found = match_metrics(read_metrics(a), read_metrics(b), tolerance)
    return [MetricChange(one, _last(a, one.name), _last(b, one.name)) for one in found if one.level < Level.BIT]


def _last(run: Run, name: str) -> float | None:
    summary = (run.record.get("metrics") or {}).get(name) or {}
    value = summary.get("last")
    return value if type(value) is float else None
