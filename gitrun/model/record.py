"""What every run record has in common: its format number, its statuses, and who may read it.

A record is the canonical JSON object `run.json` (spec/run-record.md). It stays a plain mapping
on purpose: fields that a later version adds must survive being read and written by this one.
"""

from __future__ import annotations

from typing import Any

from gitrun.errors import DamagedRecord, NewerFormat
from gitrun.model.ids import is_run_id

FORMAT = 1
KNOWN_FEATURES: frozenset[str] = frozenset()
STATUSES = ("running", "completed", "failed", "interrupted", "lost", "unknown")


def check_readable(record: Any) -> dict[str, Any]:
    """The record itself, once it is known to be one that this version can read.

    Raises NewerFormat for a later format or a required feature this version lacks, and
    DamagedRecord for anything that is not a record.
    """
    if type(record) is not dict or type(record.get("format")) is not int:
        raise DamagedRecord("run.json is not a run record")
    run_id = record.get("id")
    name = run_id if type(run_id) is str and is_run_id(run_id) else "a run"
    requires = record.get("requires", [])
    if type(requires) is not list:
        raise DamagedRecord(f"{name}: `requires` is not a list")
    missing = [feature for feature in requires if feature not in KNOWN_FEATURES]
    if record["format"] > FORMAT or missing:
        needs = f"format {record['format']}" + (f" with {', '.join(map(str, missing))}" if missing else "")
        raise NewerFormat(f"{name} was written by a later gitrun ({needs})", next="pip install --upgrade gitrun")
    if type(run_id) is not str or not is_run_id(run_id):
        raise DamagedRecord("run.json has no valid run id")
    if record.get("status") not in STATUSES:
        raise DamagedRecord(f"{run_id}: unknown status {record.get('status')!r}")
    return record


def status_of(code: int | None, signal: int | None, forwarded: bool) -> str:
    """The status of a run whose end was seen: its exit code, or the signal that ended it.

    `forwarded` says that gitrun itself had passed that signal on.
    """
    if code is None and signal is None:
        return "lost"
    if signal is not None:
        return "interrupted" if forwarded else "failed"
    return "completed" if code == 0 else "failed"


def change_count(source: dict[str, Any]) -> int:
    """How many files of the source differ from its base."""
    return sum(len(source.get(kind) or ()) for kind in ("modified", "deleted", "untracked"))
