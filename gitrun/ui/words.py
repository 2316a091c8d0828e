"""Numbers as people read them: sizes, durations, ages, local times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.model.times import parse_iso

if TYPE_CHECKING:
    from gitrun.recording.request import Recorded, Started

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: int) -> str:
    """`812 B`, `4.2 KiB`, `1.0 GiB`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value, unit = size_bytes / 1024, 0
    while value >= 1023.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """`0.31 s`, `12.4 s`, `3m 12s`, `2h 05m`, `3d 4h`; empty when unknown."""
    if seconds is None:
        return ""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def local_time(text: str | None, localtime: Callable[[float], time.struct_time] = time.localtime) -> str:
    """A UTC time of a record in the reader's zone, to the second; empty when absent or not a time."""
    if not text:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", localtime(parse_iso(text) / 1e9))
    except (ValueError, OverflowError, OSError):
        return ""


def lock_words(lock: dict[str, Any]) -> str:
    """`resolved by uv, 3 wheels in the store, but for torch`; names as the record has them."""
    by = f" by {lock['source']}" if lock.get("source") else ""
    stored = f", {plural(len(lock['vendored']), 'wheel')} in the store" if lock.get("vendored") else ""
    missing = f", but for {', '.join(lock['missing'])}" if lock.get("missing") else ""
    return f"{lock.get('state') or 'none'}{by}{stored}{missing}"


def beginning(run: Started) -> str:
    """The line when a run begins."""
    member = f"member {run.member}, " if run.member else ""
    return f"recording {run.run_id} ({member}{plural(run.changes, 'changed file') if run.changes else 'no changes'})"


def leaving(run: Recorded) -> str:
    """The line when a member of a run has ended, and others go on."""
    others = "1 other member goes" if run.others == 1 else f"{run.others:,} other members go"
    return f"{run.run_id} {run.status} here, {others} on"


def ending(run: Recorded) -> str:
    """The line when a run was sealed."""
    took = "" if run.duration_s is None else f" in {duration(run.duration_s)}"
    left_out = f", {size(run.left_out_bytes)} left out" if run.left_out_bytes else ""
    stored = f"{size(run.stored_bytes)} stored{left_out}"
    return f"{run.run_id} {run.status}{took}, {stored}, next: gitrun show {short(run.run_id)}"
