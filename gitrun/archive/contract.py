"""The JSON that programs rely on: one object for a run, every key always there.

The record on disk may lack what did not apply, grows with versions, and keeps bulky things in
parts of their own. A program that reads `gitrun show --json` should see none of that. So this
module is the one place where a record becomes the contract of the documentation: absent means
null, {} or [], never a missing key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitrun.archive.replayable import replayable

Parts = Callable[[str], Any]

NO_LOCK = {"state": "none", "reason": "no lockfile was made for this run"}
LINKS = ("replay_of", "resumed_from", "parent", "supersedes", "redacted_from")
_SOURCE_LISTS = ("modified", "untracked", "excluded", "roots", "changed_during_run")
_SOURCE_MORE = ("deleted", "conflicts", "empty_directories", "delta")
_ARTIFACT = ("path", "kind", "bytes", "sha256", "stored", "reason", "produced_by")


def describe(
    record: dict[str, Any],
    part: Parts,
    *,
    snapshot: str | None,
    liveness: dict[str, Any] | None = None,
    full: bool = True,
) -> dict[str, Any]:
    """The run as the JSON contract has it.

    `full` False leaves out artifacts, distributions, provenance and process, as lists do. `part` gives the
    decoded value of a JSON part or None, and raises DamagedRecord for one that is not what it should be.
    """
    exit = record.get("exit") or {}
    links = record.get("links") or {}
    environment = content(part("environment.json"))
    config = content(part("config.json"))
    lock = record.get("lock") or {}
    described = {
        "id": record["id"],
        "name": record.get("name"),
        "status": record["status"],
        "command": record["command"],
        "cwd": record.get("cwd"),
        "exit": {"code": exit.get("code"), "signal": exit.get("signal")},
        "started_at": record.get("started_at"),
        "ended_at": record.get("ended_at"),
        "duration_s": record.get("duration_s"),
        "group": record.get("group"),
        "source": _source(record.get("source") or {}, part, snapshot),
        "config": {key: _typed(config.get(key), {}) for key in ("values", "provenance")},
        "environment": _environment(record, environment),
        "lock": {**NO_LOCK, **lock, "state": lock.get("state") or NO_LOCK["state"]},
        "hardware": content(part("hardware.json")),
        "seeds": record.get("seeds") or {},
        "metrics": record.get("metrics") or {},
        "summary": record.get("summary") or {},
        "system": record.get("system") or {},
        "process": record.get("process") or {},
        "members": [member for member in _typed(record.get("members"), []) if type(member) is dict],
        "artifacts": [_artifact(entry) for entry in _lines(part, "artifacts.jsonl")] if full else [],
        "links": {link: links.get(link) for link in LINKS},
        "liveness": liveness,
        "coverage": record.get("coverage") or {},
        "replayable": replayable(record),
        "tags": list(record.get("tags") or []),
        "notes": list(record.get("notes") or []),
        "claims": list(record.get("claims") or []),
    }
    if not full:
        del described["artifacts"], described["process"], described["system"]
        del described["environment"]["distributions"], described["config"]["provenance"]
    return described


def describe_unreadable(run_id: str, status: str, name: str | None, problem: dict[str, str]) -> dict[str, Any]:
    """What a list says of a run it cannot read: every key of the contract, empty, and why."""
    record: dict[str, Any] = {"id": run_id, "status": status, "name": name, "command": []}
    return {**describe(record, lambda part: None, snapshot=None, full=False), "problem": problem}


def content(value: Any) -> dict[str, Any]:
    """What a JSON part says, without the two fields every stored structure has."""
    fields = value if type(value) is dict else {}
    return {key: field for key, field in fields.items() if key not in ("format", "requires")}


def _typed(value: Any, empty: Any) -> Any:
    return value if type(value) is type(empty) else empty


def _source(source: dict[str, Any], part: Parts, snapshot: str | None) -> dict[str, Any]:
    lists = {key: list(source.get(key) or []) for key in (*_SOURCE_LISTS, *_SOURCE_MORE)}
    extra = [
        {"path": entry.get("path"), "reason": entry.get("reason"), "sha256": entry.get("sha256")}
        for entry in _lines(part, "extra.jsonl")
    ]
    return {
        "tree": source.get("tree"),
        "snapshot": snapshot,
        "base": source.get("base"),
        "branch": source.get("branch"),
        "dirty": source.get("dirty"),
        "extra": extra,
        **lists,
    }


def _environment(record: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    place = (record.get("parts") or {}).get("environment.json") or {}
    return {
        "digest": place.get("sha256"),
        "python": environment.get("python"),
        "distributions": _typed(environment.get("distributions"), []),
    }


def _artifact(entry: dict[str, Any]) -> dict[str, Any]:
    return {**{key: entry.get(key) for key in _ARTIFACT}, "bytes": entry.get("bytes", entry.get("size"))}


def _lines(part: Parts, name: str) -> list[dict[str, Any]]:
    return [entry for entry in _typed(part(name), []) if type(entry) is dict]
