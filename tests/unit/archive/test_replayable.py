"""`replayable` is honest: guards say no, gaps say partly, and every level but `full` says why."""

from __future__ import annotations

from typing import Any

from gitrun.archive.replayable import replayable

LOCKED = {"lock": {"state": "resolved"}, "status": "completed"}


def record(**source: Any) -> dict[str, Any]:
    return {**LOCKED, "source": {"tree": "ab", **source}}


def test_nothing_missing() -> None:
    assert replayable(record()) == {"level": "full", "because": []}


def test_files_beyond_the_guards_say_no() -> None:
    verdict = replayable(record(excluded=[{"path": "data", "bytes": 9, "files": 7, "reason": "max_bytes"}]))
    assert verdict["level"] == "no"
    assert verdict["because"] == ["7 file(s) of the source were left out (data: max_bytes)"]


def test_secrets_left_out_say_partly() -> None:
    assert replayable(record(excluded=[{"path": ".env", "bytes": 9, "reason": "secret"}]))["level"] == "partly"


def test_tracker_directories_are_not_source() -> None:
    assert replayable(record(excluded=[{"path": "wandb", "bytes": 9, "reason": "tracker"}]))["level"] == "full"


def test_no_source_says_no() -> None:
    assert replayable({**LOCKED, "source": {}})["level"] == "no"


def test_no_lockfile_an_unseen_end_and_failed_facts_say_partly() -> None:
    weak = {**record(), "lock": None, "status": "lost", "coverage": {"hardware": ["no /proc"], "console": "complete"}}
    verdict = replayable(weak)
    assert verdict["level"] == "partly"
    assert len(verdict["because"]) == 3
