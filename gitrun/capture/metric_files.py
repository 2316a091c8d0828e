"""Metrics that a program writes into a file of its own: CSV with a header line, or JSON lines (`record --metrics`).

Each program has its own names for the same thing, so the step is the first of a list of names that is there, and so is
the time. What else is a number is a metric, what is none is passed over: a cell may be empty, a line have other names.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitrun.capture.facts import unwaiting
from gitrun.capture.series import MAX_NAME, Points
from gitrun.model.times import parse_iso

MAX_BYTES = 256 << 20  # of one file
KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
STEPS = ("step", "_step", "global_step", "iteration", "iter", "epoch")
TIMES = ("time", "timestamp", "_timestamp", "wall_time")
RANKS = ("rank",)
_INT64 = 1 << 63
_MAX_DEPTH = 32


def kind_of(path: bytes) -> str | None:
    """How a file is read, by the end of its name; None where it cannot be."""
    return KINDS.get(os.path.splitext(os.fsdecode(path))[1].lower())


def read_metric_file(path: bytes, name: str, since_ns: int, points: Points) -> None:
    """Adds the points of a file, and as a problem what is wrong with it; `since_ns` is when the command began."""
    try:
        with open(path, "rb", opener=unwaiting) as file:
            found = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1) if stat.S_ISREG(found.st_mode) else None
    except OSError as problem:
        points.tell(f"{name}: {problem.strerror}")
        return
    if data is None or found.st_mtime_ns < since_ns:
        points.tell(f"{name}: {'it is no file' if data is None else 'this run has not written it'}")
        return
    if len(data) > MAX_BYTES:
        points.tell(f"{name}: more than {MAX_BYTES:,} bytes, of which the first were read")
    lines = io.StringIO(data[:MAX_BYTES].decode("utf-8-sig", "replace"), newline="")
    last_step, count = -1, 0
    for row in _rows(lines, kind_of(path)):
        if row is not None:
            last_step, more = _add(row, last_step, points)
            count += more
        else:
            points.tell(f"{name}: a line that is no row of it was passed over")
    if not count:
        points.tell(f"{name}: there is no metric in it")
    points.settle()


def _rows(lines: Iterable[str], kind: str | None) -> Iterator[Mapping[str, Any] | None]:
    if kind == "jsonl":
        for line in lines:
            if line.strip():
                yield _object(line)
        return
    rows = csv.DictReader(lines, dialect="excel-tab" if kind == "tsv" else "excel", skipinitialspace=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield None  # it goes on with the next line
        else:
            yield {name: value for name, value in row.items() if type(name) is str and type(value) is str}


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return dict(_flat(value, "", 0)) if type(value) is dict else None


def _flat(value: dict[str, Any], above: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if type(item) is dict and depth < _MAX_DEPTH:
            yield from _flat(item, f"{above}{key}/", depth + 1)
        else:
            yield above + key, item


def _add(row: Mapping[str, Any], last_step: int, points: Points) -> tuple[int, int]:
    """Adds a row's points; its step, which is one further than the last where no name says it, and how many."""
    lower = {name.strip().lower(): name for name in row}
    step_of, time_of, rank_of = (
        next((lower[name] for name in names if name in lower), None) for names in (STEPS, TIMES, RANKS)
    )
    step = _whole(row[step_of] if step_of is not None else last_step + 1)
    rank = _whole(row[rank_of]) if rank_of is not None else None
    time_ns = _time_ns(row[time_of]) if time_of is not None else None
    count = 0
    for name, cell in row.items():
        value = None if name in (step_of, time_of, rank_of) else _number(cell)
        plain = name.strip().replace("\0", "").encode("utf-8", "replace")  # JSON may name half a character
        if value is not None and 0 < len(plain) <= MAX_NAME:
            points.add(plain.decode(), value, step, time_ns, rank if rank is not None and 0 <= rank < 1 << 31 else None)
            count += 1
    return last_step if step is None else step, count


def _number(cell: Any) -> float | None:
    """A cell as a number; None for any other."""
    if type(cell) is str and (not cell.strip() or "_" in cell):
        return None  # float() takes 1_000, which nobody writes who means a number
    try:
        return float(cell) if isinstance(cell, int | float | str) else None
    except OverflowError:
        return math.inf if cell > 0 else -math.inf
    except ValueError:
        return None


def _whole(cell: Any) -> int | None:
    value = int(cell) if type(cell) is int else _number(cell)
    if value is None or value != value // 1 or not -_INT64 <= value < _INT64:
        return None
    return int(value)


def _time_ns(cell: Any) -> int | None:
    """A time: seconds since 1970, or as ISO 8601 writes it (UTC where no zone is said)."""
    seconds = _number(cell)
    if seconds is None:
        return _whole(_iso_ns(cell.strip())) if type(cell) is str else None
    return _whole(round(seconds * 1e9)) if math.isfinite(seconds * 1e9) else None


def _iso_ns(text: str) -> int | None:
    from datetime import UTC, datetime, timedelta  # only for a file that has such times

    try:
        return parse_iso(text)
    except ValueError:
        pass  # one of the other ways to write it
    try:
        moment = datetime.fromisoformat(text)
        at = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None
