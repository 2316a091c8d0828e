"""What several members left, put together: the outcome, machines, sources, entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.seal import Part
from gitrun.model.canonical import decode, encode, encode_line
from gitrun.recording.artifacts import read_artifacts
from gitrun.recording.live import LiveDirectory
from gitrun.recording.merging import merge
from gitrun.recording.rooting import read_lines

TIME = "2026-11-24T06:12:4{}.000000Z"


def record(n: int, status: str = "completed", rank: int | None = None, **more: Any) -> dict[str, Any]:
    code = {"completed": 0, "failed": n + 1}.get(status)
    exit = None if status in ("lost", "unknown") else {"code": code, "signal": 15 if code is None else None}
    ended = None if exit is None else TIME.format(n + 1)
    member = {"n": n, "host": f"node{n}", "rank": rank, "exit": exit, "status": status, "ended_at": ended}
    return {
        "status": status, "exit": exit, "started_at": TIME.format(n), "ended_at": ended, "command": ["train"],
        "duration_s": None if exit is None else float(n), "members": [member], "coverage": {}, "source": {},
        "worktree": "/tree", **more,
    }  # fmt: skip


@pytest.fixture
def live(tmp_path: Path) -> LiveDirectory:
    for n in range(3):
        (tmp_path / "live" / "members" / str(n) / "parts").mkdir(parents=True)
        (tmp_path / "live" / "members" / str(n) / "keeper").touch()
    (tmp_path / "live" / "parts").mkdir()
    directory = LiveDirectory(str(tmp_path / "live"))
    for n in range(3):
        directory.of(n).write_draft({"worktree": "/tree"})
    return directory


def merged(
    live: LiveDirectory, records: list[dict[str, Any]], parts: tuple[dict[str, Part], ...] = ({}, {}, {}), of: int = 0
) -> tuple[dict[str, Any], dict[str, Part]]:
    others = [(live.of(n), one, parts[n]) for n, one in enumerate(records) if n]
    return merge(live, records[0], parts[0], others, of)


@pytest.mark.parametrize(
    ("statuses", "status", "code"),
    [
        (["completed", "completed", "completed"], "completed", 0),
        (["interrupted", "failed", "interrupted"], "failed", 2),
        (["completed", "lost", "completed"], "lost", None),
        (["lost", "failed", "interrupted"], "failed", 2),
        (["completed", "interrupted", "unknown"], "unknown", None),
        (["failed", "completed", "failed"], "failed", 3),  # the lowest rank counts, which is the last one here
    ],
)
def test_the_run_ends_as_its_gravest_member(
    live: LiveDirectory, statuses: list[str], status: str, code: int | None
) -> None:
    run, _ = merged(live, [record(n, one, rank=2 - n) for n, one in enumerate(statuses)])
    assert run["status"] == status and (run["exit"] or {}).get("code") == code
    assert run["started_at"] == TIME.format(0)
    assert run["ended_at"] == (None if {"lost", "unknown"} & {*statuses} else TIME.format(3))
    assert [member["status"] for member in run["members"]] == statuses
    assert run["coverage"]["members"] == "complete"


def test_who_is_missing_is_told(live: LiveDirectory) -> None:
    run, _ = merged(live, [record(0, rank=0), record(1, rank=3)], of=5)
    never_ran, absent = run["coverage"]["members"]
    assert never_ran.startswith("member 2 ") and absent == "2 of 5 members never came (rank 1, 2, 4)"
    run, _ = merged(live, [record(n) for n in range(3)], of=4)
    assert run["coverage"]["members"] == ["1 of 4 members never came"]


def test_what_is_missing_of_one_member_is_missing(live: LiveDirectory) -> None:
    coverage = [{"lock": ["no"], "roots": "complete", "child": {"processes": 1}}, {"lock": ["no"], "roots": ["gone"]}]
    run, _ = merged(live, [record(n, coverage=said) for n, said in enumerate(coverage)])
    assert run["coverage"]["lock"] == ["no"] and run["coverage"]["roots"] == ["member 1: gone"]
    assert run["coverage"]["child"] == {"processes": 1}


def test_other_machines_are_listed(live: LiveDirectory) -> None:
    machine = [Part(data=encode({"format": 1, "requires": [], "relevant": {"cpu": cpu}})) for cpu in ("a", "a", "b")]
    parts = tuple({"hardware.json": one, "console.zst": Part(data=b"%d" % n)} for n, one in enumerate(machine))
    _, found = merged(live, [record(n) for n in range(3)], parts)
    assert decode(found["hardware.json"].read()) == {
        "format": 1, "requires": [], "relevant": {"cpu": "a"}, "members": [{"n": 2, "relevant": {"cpu": "b"}}],
    }  # fmt: skip
    assert {name: part.read() for name, part in found.items() if "console" in name} == {
        "console.zst": b"0", "console-1.zst": b"1", "console-2.zst": b"2",
    }  # fmt: skip
    equal = tuple({"hardware.json": machine[0]} for _ in range(3))
    assert merged(live, [record(n) for n in range(3)], equal)[1]["hardware.json"] is machine[0]


def line(path: str, kind: str, sha: str, evidence: str = "observed") -> dict[str, Any]:
    return {"path": path, "kind": kind, "sha256": sha, "evidence": evidence, "reason": None}


def test_entries_are_those_of_all_each_once(live: LiveDirectory) -> None:
    live.of(2).write_draft({"worktree": "/elsewhere"})
    lines = [
        [line("data", "input", "d"), line("weights", "output", "w", "scan")],
        [line("data", "input", "d"), line("weights", "input", "w"), line("/abs", "input", "a")],
        [line("weights", "output", "v", "scan"), line("data", "input", "e")],
    ]
    for n, some in enumerate(lines):
        live.of(n).write_part("artifacts.jsonl", b"".join(map(encode_line, some)))
    for _ in range(2):  # sealing may be broken off, and then it is done again
        merged(live, [record(n) for n in range(3)])
        assert [(one["path"], one["kind"], one["sha256"]) for one in read_artifacts(live)] == [
            ("/abs", "input", "a"), ("/elsewhere/data", "input", "e"), ("/elsewhere/weights", "output", "v"),
            ("data", "input", "d"), ("weights", "output", "w"),
        ]  # fmt: skip


def test_what_only_one_member_loaded_is_kept(live: LiveDirectory) -> None:
    def extra(path: str, root: int | None = None) -> bytes:
        return encode_line({"path": path, "root": root, "sha256": path})

    live.write_part("extra.jsonl", extra("a.py") + extra("lib.py", 1))
    live.of(1).write_part("extra.jsonl", extra("a.py") + extra("b.py") + extra("other.py", 1) + extra("lib.py", 2))
    roots = [[{"n": 1, "path": "/lib", "tree": "t"}], [{"n": 1, "path": "/other"}, {"n": 2, "path": "/lib"}]]
    sources = [{"roots": some} for some in roots]
    run, _ = merged(live, [record(n, source=source) for n, source in enumerate(sources)])
    assert [(root["n"], root["path"]) for root in run["source"]["roots"]] == [(1, "/lib"), (2, "/other")]
    kept = {(one["path"], one["root"]) for one in read_lines(live)}
    assert kept == {("a.py", None), ("b.py", None), ("lib.py", 1), ("other.py", 2)}
