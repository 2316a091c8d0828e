"""What was said of a run since, laid over its record: in order, by path, and never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.archive.annotations import LOCK, Event
from gitrun.archive.since import DROP, STORED, TAG, merged, standing, tags_of

RUN = "20261124-061246-abc123"
A, B = "a" * 64, "b" * 64


def event(kind: str, body: Any, lamport: int = 1) -> Event:
    return Event(kind, RUN, "writer00", 1, lamport, "2026-11-24T00:00:00.000000Z", body, [])


def line(path: str, **more: Any) -> dict[str, Any]:
    base = {"path": path, "kind": "output", "type": "file", "sha256": A, "bytes": 3, "stored": True, "reason": None}
    return {**base, "chunks": [[A, 3]], **more}


def test_tags_come_and_go_in_order() -> None:
    events = [event(TAG, {"add": ["b", "a"], "remove": []}), event(TAG, {"add": ["c"], "remove": ["b", "own"]})]
    assert tags_of(["own", "kept"], events) == ["kept", "a", "c"]
    assert tags_of(["own"], [event("note", {"add": ["x"]})]) == ["own"]
    record = {"id": RUN, "tags": ["own"]}
    assert merged(record, events[:1])["tags"] == ["own", "b", "a"] and record["tags"] == ["own"]


@pytest.mark.parametrize("body", [{}, {"add": "abc"}, {"add": [1, None]}, {"remove": {"own": 1}}])
def test_a_body_that_is_none_changes_no_tag(body: Any) -> None:
    assert tags_of(["own"], [event(TAG, body)]) == ["own"]


@pytest.mark.parametrize(
    "body", [{}, {"state": [1]}, {"state": "resolved", "missing": 3}, {"state": "none", "reason": {"x": 1}}]
)
def test_a_body_that_is_none_is_no_lockfile(body: Any) -> None:
    record = {"id": RUN, "lock": {"state": "none"}}
    assert merged(record, [event(LOCK, body)]) == record


def test_a_lockfile_that_lacks_something_need_not_say_why() -> None:
    found = merged({"id": RUN}, [event(LOCK, {"state": "resolved", "missing": ["numpy"]})])
    assert found["coverage"]["lock"] == ["not all is locked"]


def test_a_dropped_file_keeps_its_digest_and_loses_what_leads_to_its_content() -> None:
    lines = [line("a"), line("b", chunk_list=B), line("c")]
    found = standing(lines, [event(DROP, {"paths": ["a", "b", "never"]})])
    for dropped in found[:2]:
        assert (dropped["stored"], dropped["reason"], dropped["sha256"], dropped["bytes"]) == (False, "dropped", A, 3)
        assert "chunks" not in dropped and "chunk_list" not in dropped
    assert found[2] is lines[2] and lines[0]["stored"] is True, "the record itself is as it was"


def test_what_was_said_last_counts() -> None:
    drop = event(DROP, {"paths": ["a"]})
    stored = event(STORED, {"path": "a", "sha256": B, "bytes": 3, "chunks": [[B, 3]]})
    deferred = line("a", stored=False, reason="deferred", sha256=None, chunks=[])
    assert standing([deferred], [drop]) == [deferred], "what was never stored cannot be dropped"
    completed = standing([deferred], [stored])[0]
    assert (completed["stored"], completed["reason"], completed["sha256"], completed["bytes"]) == (True, None, B, 3)
    assert standing([deferred], [stored, drop])[0]["reason"] == "dropped"
    assert standing([deferred], [stored, drop, stored])[0]["stored"] is True
    assert standing([line("a")], [stored])[0]["sha256"] == A, "what is stored is not replaced"


def test_two_kinds_of_one_path() -> None:
    not_yet = {"stored": False, "reason": "deferred", "sha256": None}
    lines = [line("a", kind="artifact", **not_yet), line("a", **not_yet)]
    stored = event(STORED, {"path": "a", "kind": "output", "sha256": B, "bytes": 3, "chunks": [[B, 3]]})
    assert [each["stored"] for each in standing(lines, [stored])] == [False, True]
    both = standing([line("a", kind="artifact"), line("a")], [event(DROP, {"paths": ["a"]})])
    assert [each["stored"] for each in both] == [False, False]


@pytest.mark.parametrize("lines", [None, {}, "text", [1, None, {"path": 3}, {}]])
def test_lines_of_any_shape_are_left_to_whoever_checks_them(lines: Any) -> None:
    assert standing(lines, [event(DROP, {"paths": ["a"]})]) == (lines if isinstance(lines, list) else [])


def test_a_link_has_no_content_to_drop() -> None:
    link = line("a", type="link", target="b")
    assert standing([link], [event(DROP, {"paths": ["a"]})]) == [link]


@pytest.mark.parametrize(
    "body",
    [
        {"sha256": 5}, {"sha256": None}, {"sha256": "B" * 64}, {"bytes": "3"}, {"bytes": -3}, {"bytes": 10**15},
        {"bytes": True}, {"chunks": 7}, {"chunk_list": {"a": 1}}, {"kind": "input"}, {"path": ["a"]},
    ],
)  # fmt: skip
def test_an_event_that_is_not_what_it_should_be_completes_nothing(body: dict[str, Any]) -> None:
    deferred = line("a", stored=False, reason="deferred", sha256=None, chunks=[])
    whole = {"path": "a", "sha256": B, "bytes": 3, "chunks": [[B, 3]]}
    assert standing([deferred], [event(STORED, {**whole, **body})]) == [deferred]


def test_nobody_can_give_an_entry_another_content() -> None:
    other = event(STORED, {"path": "a", "sha256": B, "bytes": 3, "chunks": [[B, 3]]})
    for reason in ("no_keep", "limit", "dropped", "deferred"):
        left = line("a", stored=False, reason=reason)
        assert standing([left], [other]) == [left], "its digest is known, and another"
    same = event(STORED, {"path": "a", "sha256": A, "bytes": 3, "chunks": [[A, 3]]})
    assert standing([line("a", stored=False, reason="dropped")], [same])[0]["stored"] is True
