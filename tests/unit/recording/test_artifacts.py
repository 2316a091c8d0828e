"""The list of a run's files while it is recorded: each kind in its own time, and never longer than a part may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitrun.model.canonical import encode_line
from gitrun.recording.artifacts import entries_there, read_artifacts, replace_artifacts
from gitrun.recording.live import LiveDirectory


@pytest.fixture
def live(tmp_path: Path) -> LiveDirectory:
    (tmp_path / "parts").mkdir()
    return LiveDirectory(str(tmp_path))


def lines(kind: str, *paths: str) -> list[dict[str, Any]]:
    return [{"path": path, "kind": kind, "stored": False} for path in paths]


def there(live: LiveDirectory) -> list[tuple[str, str]]:
    return [(line["path"], line["kind"]) for line in read_artifacts(live)]


def test_a_kind_is_replaced_and_the_others_stay(live: LiveDirectory) -> None:
    replace_artifacts(live, "input", lines("input", "b"))
    replace_artifacts(live, "output", lines("output", "c", "a"))
    replace_artifacts(live, "output", lines("output", "b"))
    assert there(live) == [("b", "input"), ("b", "output")]
    assert [entry.path for entry in entries_there(live)] == [b"b", b"b"]
    assert replace_artifacts(live, "input", []).lines == lines("output", "b")


def test_without_lines_there_is_no_part(live: LiveDirectory) -> None:
    assert replace_artifacts(live, "output", []) == ([], [])
    assert live.part_paths() == {} and entries_there(live) == []


def test_too_many_lines_are_left_out_from_the_end_and_what_was_handed_over_comes_first(live: LiveDirectory) -> None:
    limit = len(encode_line(lines("artifact", "z")[0])) * 3
    replace_artifacts(live, "artifact", lines("artifact", "z"), limit)
    listed = replace_artifacts(live, "output", lines("output", "d", "c", "b", "a"), limit)
    assert listed.problems == ["5 files, of which 3 are listed: the list would be too long"]
    assert there(live) == [("a", "output"), ("b", "output"), ("z", "artifact")]
    assert [line["path"] for line in listed.lines] == ["a", "b", "z"]
    assert (Path(live.parts) / "artifacts.jsonl").stat().st_size <= limit
