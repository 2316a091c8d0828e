"""Clocks that do not tell the time, and what follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording.ending import Ending, oom_kills
from gitrun.recording.gathering import Start
from gitrun.recording.member import clock_jump_ns, clock_problem, read_exit
from gitrun.recording.spool import sync_files

SECOND = 10**9


def end(started_s: float, ended_s: float, took_s: float) -> dict[str, Any]:
    return {
        "started_ns": int(started_s * SECOND),
        "ended_ns": int(ended_s * SECOND),
        "duration_ns": int(took_s * SECOND),
    }


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (end(1000, 1060, 60), None),
        (end(1000, 1061.5, 60), None),  # as a time server corrects it
        (end(1000, 970, 60), "set back by 90 s"),
        (end(1000, 8260, 60), "moved on by 7200 s"),
        ({"started_ns": 1}, None),
        ({"started_ns": None, "ended_ns": 2, "duration_ns": 3}, None),
    ],
)
def test_what_is_said_of_a_clock(written: dict[str, Any], says: str | None) -> None:
    said = clock_problem(written)
    assert said is None if says is None else says in str(said)


def test_files_that_were_written_after_the_clock_was_set_back_are_since_the_start(tmp_path: Path) -> None:
    found = tmp_path.stat()
    start = Start(found.st_ctime_ns + 30 * SECOND, found.st_dev)
    assert not start.is_since(found)
    assert start.earlier(-clock_jump_ns(end(1000, 970, 60))).is_since(found)


def test_only_a_kill_asks_for_the_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert oom_kills() >= 0
    counts = iter([5, 7])
    monkeypatch.setattr("gitrun.recording.ending.oom_kills", lambda: next(counts))
    ending = Ending(str(tmp_path))
    ending.begin()
    ending.waited(15, 0.0, 0.0, 0)
    assert "oom_kills" not in ending.facts
    ending.waited(9, 0.0, 0.0, 0)
    assert ending.facts["oom_kills"] == 2
    ending.write(json.dumps(ending.facts).encode() + b"\n")
    assert (read_exit(str(tmp_path)) or {})["oom_kills"] == 2


def test_what_grows_is_synced_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut takes the seconds since the last sync, of the console and of every journal."""
    import os

    for name in ("console", "console-tail-1", "metrics-7-00000000", "metrics-log", "system-1-00000000", "heartbeat"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "metrics-pipe").symlink_to("/dev/full")
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
    sync_files(str(tmp_path))
    assert sorted(synced) == ["console", "console-tail-1", "metrics-7-00000000", "metrics-log", "system-1-00000000"]
    sync_files(str(tmp_path / "gone"))
