"""Whether a run could be repeated, said before anybody tries, and without flattery.

Three levels. `no`: files that the source had are not in the record, so the code that ran cannot
be given back. `partly`: the code can, but something it may have depended on was not kept or was
not looked at. `full`: nothing is known to be missing. Each reason is one sentence; an empty list
comes with `full` alone.
"""

from __future__ import annotations

from typing import Any

COMPLETE = "complete"
HARMLESS_REASONS = frozenset({"tracker", "output"})  # not source: what a tool or an earlier run wrote


def replayable(record: dict[str, Any]) -> dict[str, Any]:
    """`{level, because}` of a record, from what it says about its own gaps."""
    missing = list(_missing_source(record.get("source") or {}))
    weak = [*_weak_source(record.get("source") or {}), *_weak_rest(record)]
    level = "no" if missing else "partly" if weak else "full"
    return {"level": level, "because": missing + weak}


def _missing_source(source: dict[str, Any]) -> list[str]:
    if not source.get("tree"):
        return ["the record holds no source tree"]
    guarded = [entry for entry in source.get("excluded") or [] if not _is_secret(entry) and _matters(entry)]
    files = sum(entry.get("files", 1) for entry in guarded)
    return [f"{files} file(s) of the source were left out ({_names(guarded)})"] if guarded else []


def _weak_source(source: dict[str, Any]) -> list[str]:
    weak = []
    secrets = [entry for entry in source.get("excluded") or [] if _is_secret(entry)]
    if secrets:
        weak.append(f"secret files were left out ({_names(secrets)})")
    if source.get("changed_during_run"):
        weak.append("files changed while the source was being read")
    return weak


def _weak_rest(record: dict[str, Any]) -> list[str]:
    weak = []
    lock = record.get("lock") or {}
    if lock.get("state", "none") == "none":
        weak.append("the environment is described, not locked: a replay uses the one it finds")
    for fact, gaps in sorted((record.get("coverage") or {}).items()):
        weak.extend(f"{fact}: {gap}" for gap in (gaps if type(gaps) is list else [gaps]) if gap != COMPLETE)
    if record.get("status") in ("lost", "unknown"):
        weak.append("nobody saw how the run ended, so there is no exit status to compare with")
    return weak


def _is_secret(entry: dict[str, Any]) -> bool:
    return "secret" in str(entry.get("reason"))


def _matters(entry: dict[str, Any]) -> bool:
    return entry.get("reason") not in HARMLESS_REASONS


def _names(entries: list[dict[str, Any]]) -> str:
    shown = [f"{entry.get('path')}: {entry.get('reason')}" for entry in entries[:3]]
    return ", ".join(shown) + (", …" if len(entries) > 3 else "")
