"""What is brought into a draft when its command has ended: once, guarded, and only from the place it ran at."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.observed import Module, Observed, Process
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.model.times import iso
from gitrun.monitor import SILENT
from gitrun.recording import observing
from gitrun.recording.artifacts import read_artifacts
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import make_header
from gitrun.recording.observing import observe
from gitrun.recording.rooting import read_lines
from tests.snapshots import git, snapshot

RUN = "20260102-030405-abcdef"


class Ended:
    """A run of `train.py` that loaded an ignored module, and has ended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        git(root.parent, "init", "-q", str(root))
        (root / ".gitignore").write_text("_version.py\n")
        (root / "_version.py").write_text("V = 1\n")
        shot = snapshot(root)
        archive = discover(str(root), find_git(), os.environ)
        self.context = Context(archive, archive.gitrun_dir(os.environ), os.environ, SILENT)
        header = make_header(archive.common_dir)
        self.live, self.lock = LiveDirectory.create(self.context.gitrun_dir, RUN, header)
        self.draft: dict[str, Any] = {
            "command": ["python", "train.py"], "cwd": ".", "worktree": str(root), "source": shot.source, "process": {},
            "coverage": {}, "live": {"snapshot": shot.commit}, "id": RUN, "started_at": iso(time.time_ns()),
        }  # fmt: skip
        self.live.write_draft(self.draft)

    def reported(self, monkeypatch: pytest.MonkeyPatch, seeds: dict[str, Any] | None = None) -> None:
        facts = (self.root / "_version.py").stat()
        module = Module("_version", os.fsencode(self.root / "_version.py"), facts.st_size, facts.st_mtime_ns)
        one = Process(
            7, 1, {"version": "3.11.7"}, configs=[], modules=[module], mapped=[], opened=[], seeds=seeds or {},
            numerics={}, complete=True,
        )  # fmt: skip
        monkeypatch.setattr(observing, "read_observed", lambda member: Observed([one], ["a torn end"]))


@pytest.fixture
def ended(tmp_path: Path) -> Ended:
    return Ended(tmp_path / "repo")


def test_it_is_done_once_and_lies_on_disk(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    ended.reported(monkeypatch, {"random": 3})
    observe(ended.context, ended.live, ended.draft)
    assert [(line["path"], line["reason"]) for line in read_lines(ended.live)] == [("_version.py", "loaded")]
    assert ended.draft["seeds"] == {"random": 3} and ended.draft["coverage"]["loaded"] == "complete"
    assert ended.draft["process"]["observed"]["processes"][0]["pid"] == 7
    assert ended.live.read_draft() == ended.draft
    (ended.root / "_version.py").write_text("V = 2, by somebody else\n")
    again = ended.live.read_draft()
    assert again is not None
    before = read_lines(ended.live)
    observe(ended.context, ended.live, again)  # a rescuer
    assert again == ended.draft and read_lines(ended.live) == before


def test_a_kill_before_the_draft_is_written_costs_nothing(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    ended.reported(monkeypatch)
    observe(ended.context, ended.live, ended.draft, keep=True)
    on_disk = ended.live.read_draft()
    assert on_disk is not None and "observed" not in on_disk["live"]
    before = read_lines(ended.live)
    observe(ended.context, ended.live, on_disk)
    assert read_lines(ended.live) == before and on_disk == ended.draft


def test_another_host_looks_at_no_file(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    ended.reported(monkeypatch)
    monkeypatch.setattr(observing, "here", lambda: _Elsewhere)
    observe(ended.context, ended.live, ended.draft)
    assert read_lines(ended.live) == [] and "another place" in ended.draft["coverage"]["loaded"][0]


class _Elsewhere:
    host = "elsewhere"
    pid_namespace = "pid:[1]"


@pytest.mark.parametrize("name", ["describe_processes", "loaded_files", "read_observed"])
def test_a_bug_in_one_fact_is_a_sentence_and_no_more(ended: Ended, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    ended.reported(monkeypatch, {"random": 3})

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    room = {"describe_processes": "capture.processes", "loaded_files": "recording.loading"}
    monkeypatch.setattr(f"gitrun.{room.get(name, 'recording.observing')}.{name}", bug)
    observe(ended.context, ended.live, ended.draft)
    topic = {"describe_processes": "seeds", "loaded_files": "loaded", "read_observed": "child"}[name]
    assert ended.draft["coverage"].pop(topic) == ["not captured: ZeroDivisionError: a bug"]
    assert "not captured" not in str(ended.draft["coverage"])
    assert ended.draft["live"]["observed"] is True


def test_a_draft_that_lacks_things_still_gets_the_rest(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    ended.reported(monkeypatch)
    draft: dict[str, Any] = {"command": ["python"]}
    observe(ended.context, ended.live, draft)
    assert draft["coverage"]["child"]["processes"] == 1
    assert draft["coverage"]["loaded"][0].startswith("not captured: KeyError")


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "space"), (errno.EROFS, "unwritable")])
def test_a_store_that_takes_nothing_still_has_the_outputs_named(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("gitrun.store.ingest.PackFile", refuse)
    (ended.root / "out").write_text("made")
    observe(ended.context, ended.live, ended.draft)
    (line,) = [line for line in read_artifacts(ended.live) if line["path"] == "out"]
    assert (line["path"], line["stored"], line["reason"]) == ("out", False, reason)
    assert line["sha256"] == hashlib.sha256(b"made").hexdigest()
    assert ended.draft["coverage"]["outputs"][0].startswith("nothing is stored: ")
    assert ended.draft["live"]["outputs"]["stored"] == 0
