"""The metrics of a run, brought into its record: journals and files become one table, and what sums it up.

Whatever of it cannot be read costs the rest nothing, and is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitrun.capture.facts import place, structure
from gitrun.capture.imports import started_in, worktree_of
from gitrun.capture.series import Points
from gitrun.errors import GitrunError
from gitrun.model.canonical import MAX_BYTES, decode, encode, path_bytes
from gitrun.model.listing import first_lines
from gitrun.model.metrics import PART
from gitrun.recording.live import LiveDirectory
from gitrun.recording.member import started_at_ns

if TYPE_CHECKING:
    from gitrun.capture.secrets import Redactor

MAX_SUMMARIES = 10_000
MAX_VALUES = 5_000  # of configuration, and of the summary
MAX_TEXT = 1 << 16
_MAX_DEPTH = 24
_MOST_DESCRIBED = 20  # names of values that are told one by one
_CONFIG = "config.json"


def measure(live: LiveDirectory, draft: dict[str, Any], redactor: Redactor) -> Any:
    """Adds metrics, summary and configuration; returns what `coverage.metrics` says, None where there are none.

    Raises GitrunError where a run with points cannot have its part now: it is not to be sealed without.
    """
    points = Points(live.members()).read()
    _read_files(live, draft, points)
    if points.is_empty:
        return None
    problems = [*(f"{count:,} points are missing: {why}" for why, count in points.missing.items()), *points.problems]
    problems += (f"{name}: nothing could be written there, so points are missing" for name in points.void)
    if points.groups:
        draft["metrics"], count = _write(live, points, redactor)
        if count > MAX_SUMMARIES:
            problems.append(f"{count:,} metrics, of which {MAX_SUMMARIES:,} are in run.json")
    if summary := _flat(points, "summary", redactor, problems):
        draft["summary"] = summary
        described = first_lines(sorted(_described(points) & summary.keys()), _MOST_DESCRIBED)
        problems += [f"summary.{name}: only described, because it is no plain value or too large" for name in described]
    inexact = {name for one in points.said if one.kind == "config" for name in _texts(one.facts.get("unserialisable"))}
    _configure(live, _flat(points, "config", redactor, problems), inexact)
    if seeds := [one.facts.get("value") for one in points.said if one.kind == "seed"]:
        last = redactor.tree(seeds[-1])
        draft["seeds"] = {
            **(draft.get("seeds") or {}),
            "gitrun.seed": {"calls": len(seeds), "unseeded": 0, "last": last},
        }
    return [redactor.text(problem) for problem in problems] or "complete"


def _read_files(live: LiveDirectory, draft: dict[str, Any], points: Points) -> None:
    files = draft["live"].get("metric_files") or []
    if files:
        from gitrun.capture.metric_files import read_metric_file  # only where one is named
        from gitrun.capture.places import read_places

        since_ns, places = started_at_ns(live.member) or 0, read_places(live.member)
        for text in files:
            path = places.real(os.path.join(started_in(draft), path_bytes(text)))
            read_metric_file(path, place(path, worktree_of(draft)), since_ns, points)


def _write(live: LiveDirectory, points: Points, redactor: Redactor) -> tuple[dict[str, Any], int]:
    """Writes the part; the first summaries by name, and how many metrics there are."""
    try:
        from gitrun.capture.parquet import tables, write_parquet  # a run without metrics never loads Arrow
        from gitrun.model.metric_tables import summarise
    except ImportError as problem:
        again = "install pyarrow, then gitrun recover"
        raise GitrunError(f"the metrics cannot be written: {problem}", kept="all of them", next=again) from problem
    metrics: dict[str, Any] = {}
    count = 0
    for group in points.groups:
        group.names = tuple(map(redactor.text, group.names))

    def told() -> Iterator[Any]:
        nonlocal count
        for table in tables(points.groups):
            if count < MAX_SUMMARIES:  # each takes as long as writing it
                metrics[table["name"][0].as_py()] = summarise(table)
            count += 1
            yield table

    write_parquet(told(), os.path.join(live.parts, PART))
    return metrics, count


def _flat(points: Points, kind: str, redactor: Redactor, problems: list[str]) -> dict[str, Any]:
    """What was said of this kind by name, later values in the place of earlier ones; secrets replaced."""
    found = said(points, kind)
    if len(found) > MAX_VALUES:
        problems.append(f"{len(found):,} values of {kind}, of which {MAX_VALUES:,} were kept")
    return {redactor.text(name): redactor.tree(value, name) for name, value in islice(found.items(), MAX_VALUES)}


def said(points: Points, kind: str) -> dict[str, Any]:
    """What was said of this kind ("config", "summary") by name, as it was said; later values count."""
    found: dict[str, Any] = {}
    for one in points.said:
        if one.kind == kind:
            found.update(_leaves(one.facts["values"], "", 0))
    return found


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if type(value) is dict and value and depth < _MAX_DEPTH:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif name:
        yield name, value[:MAX_TEXT] if type(value) in (str, bytes) else value


def _described(points: Points) -> set[str]:
    """The names in the summary whose last value is a text that describes what there was."""
    found: set[str] = set()
    for one in points.said:
        if one.kind == "summary":
            found -= dict(_leaves(one.facts["values"], "", 0)).keys()
            found.update(_texts(one.facts.get("unserialisable")))
    return found


def _texts(value: Any) -> list[str]:
    return [item for item in value if type(item) is str] if type(value) is list else []


def _configure(live: LiveDirectory, values: dict[str, Any], inexact: set[str]) -> None:
    """Adds values that the program gave to those that are known; what it says itself counts."""
    if not values:
        return
    path = live.part_paths().get(_CONFIG)
    config: dict[str, Any] = structure(values={}, provenance={}, positional=[], files=[])
    if path is not None:
        with open(path, "rb") as file:
            config = decode(file.read(MAX_BYTES + 1))
    for name, value in values.items():
        before = config["provenance"].get(name) or {}
        exact = {"exact": False} if name in inexact else {}
        config["values"][name] = value
        config["provenance"][name] = {"source": "api", "default": before.get("default"), **exact}
    live.write_part(_CONFIG, encode(config))
