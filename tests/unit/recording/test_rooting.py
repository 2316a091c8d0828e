"""Roots from outside become part of a run's draft while its command runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.model.canonical import decode_lines
from gitrun.monitor import SILENT
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.rooting import add_roots, read_lines, write_lines
from gitrun.settings import load
from tests.snapshots import git


def test_roots_lines_and_excluded_come_beside_what_is_there(tmp_path: Path) -> None:
    repo, other = tmp_path / "repo", tmp_path / "other"
    for path in (repo, other):
        git(tmp_path, "init", "-q", str(path))
    (other / "a.py").write_text("a\n")
    (other / "big.bin").write_text("b" * 3000)
    (other / ".env").write_text("X=1\n")
    archive = discover(str(repo), find_git(), os.environ)
    context = Context(archive, archive.gitrun_dir(os.environ), os.environ, SILENT)
    live, lock = LiveDirectory.create(context.gitrun_dir, "20260102-030405-abcdef", {"format": 1})
    settings = load(None, None, {}, {"record.large_file": "2k"})
    known: dict[str, Any] = {"n": 1, "path": "zoo", "tree": "0" * 40}
    kept = {"path": "z.bin", "root": 1, "reason": "large", "sha256": "1" * 64}
    write_lines(live, [kept], [known])
    source: dict[str, Any] = {"roots": [known], "excluded": [{"path": "zzz", "bytes": 1, "reason": "secret"}]}
    draft = {"worktree": str(repo), "source": source}
    try:
        assert add_roots(context, settings, live, draft, [os.fsencode(other), os.fsencode(tmp_path / "gone")]) != []
    finally:
        lock.release()
    assert [(root["n"], root["path"]) for root in source["roots"]] == [(1, "zoo"), (2, str(other))]
    assert [(line["root"], line["path"]) for line in read_lines(live)] == [(2, "big.bin"), (1, "z.bin")]
    assert [entry["path"] for entry in source["excluded"]] == [str(other / ".env"), "zzz"]


def test_the_last_line_for_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    live = LiveDirectory(str(tmp_path))
    lines = [{"path": "b", "v": 1}, {"path": "a", "v": 1}, {"path": "b", "v": 2}, {"path": "b", "root": 1, "v": 3}]
    write_lines(live, lines, [{"n": 1, "path": "a/x"}])
    assert [line["v"] for line in decode_lines((tmp_path / "parts/extra.jsonl").read_bytes())] == [1, 3, 2]
