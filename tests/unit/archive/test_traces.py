"""Which runs made and read a content: as the records say, however the index comes about."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.annotations import annotate
from gitrun.archive.archive import Archive
from gitrun.archive.lineage import lineage
from gitrun.archive.seal import Part
from gitrun.archive.traces import Traces
from gitrun.git.objects import open_reader
from gitrun.model.canonical import encode_line
from gitrun.store.blobs import BlobStore
from tests.hand import Hand

RUNS = [f"20261124-06124{n}-aaaaa{n}" for n in range(6)]


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def entry(path: str, content: str, kind: str = "output", **more: Any) -> dict[str, Any]:
    return {
        "path": path, "kind": kind, "type": "file", "mode": "0644", "bytes": len(content), "sha256": sha(content),
        "level": None, "evidence": "scan", "stored": False, "reason": None, "produced_by": None, **more,
    }  # fmt: skip


def seal(hand: Hand, run_id: str, *entries: dict[str, Any], **more: Any) -> str:
    part = Part(b"".join(map(encode_line, sorted(entries, key=lambda one: str(one["path"])))))
    hand.seal(run_id, {"artifacts.jsonl": part}, **more)
    return run_id


def traces(hand: Hand) -> Traces:
    found = Traces(Archive.open(str(hand.root), os.environ))
    assert found.update()
    return found


def test_makers_and_readers_by_content(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("m", "model"), entry("empty", ""))
    seal(hand, RUNS[1], entry("in", "model", "input"), entry("again", "model"), entry("e", "", "input"))
    found = traces(hand)
    assert found.makers(sha("model")) == [RUNS[0], RUNS[1]]
    assert found.readers(sha("model")) == [RUNS[1]]
    assert found.makers(sha("")) == found.readers(sha("")) == []  # an empty file leads nowhere
    assert found.makers(sha("other")) == []


def test_what_may_be_anothers_or_is_a_repetition_has_no_maker(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("m", "model", evidence="ambiguous"))
    seal(hand, RUNS[1], entry("m", "model"), links={"replay_of": RUNS[0]})
    assert traces(hand).makers(sha("model")) == []


def test_a_run_is_read_once_and_a_removed_one_is_forgotten(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(hand, RUNS[0], entry("m", "one"))
    traces(hand)
    seal(hand, RUNS[1], entry("m", "two"))
    read: list[str] = []
    real = Archive.runs
    monkeypatch.setattr(Archive, "runs", lambda self, ids: read.extend(ids) or real(self, ids))  # type: ignore[func-returns-value]
    assert traces(hand).makers(sha("two")) == [RUNS[1]]
    assert read == [RUNS[1]]
    os.unlink(os.path.join(hand.repo.common_dir, f"refs/gitrun/runs/{RUNS[0]}"))
    assert traces(hand).makers(sha("one")) == []


def test_a_torn_row_spoils_no_other(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("m", "one"))
    traces(hand)
    shard = Path(hand.gitrun_dir, "cache", "traces", sha("one")[:2])
    shard.write_bytes(shard.read_bytes() + b"\n" + sha("one").encode()[:30])
    seal(hand, RUNS[1], entry("m", "one"))
    assert traces(hand).makers(sha("one")) == RUNS[:2]
    for path in shard.parent.iterdir():
        path.unlink()
    assert traces(hand).makers(sha("one")) == RUNS[:2]  # it is derived: thrown away, it comes back


def test_a_run_that_cannot_be_read_costs_the_others_nothing(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("m", "one"))
    hand.seal(RUNS[1], {"artifacts.jsonl": Part(b"{broken\n")})
    seal(hand, RUNS[2], entry("m", "one"))
    assert traces(hand).makers(sha("one")) == [RUNS[0], RUNS[2]]


def test_a_digest_that_is_still_to_come_keeps_a_run_from_being_listed(hand: Hand) -> None:
    deferred = {**entry("late", "late"), "sha256": None, "reason": "deferred"}
    seal(hand, RUNS[0], entry("m", "one"), deferred)
    found = traces(hand)
    assert found.makers(sha("one")) == []
    body = {"path": "late", "sha256": sha("late"), "bytes": 4, "chunks": [[sha("late"), 4]]}
    with open_reader(hand.repo) as reader:
        annotate(hand.repo, hand.gitrun_dir, os.environ, reader, RUNS[0], "stored", body, [sha("late")])
    found = traces(hand)
    assert found.makers(sha("one")) == found.makers(sha("late")) == [RUNS[0]]


def test_what_lies_below_a_directory_counts(hand: Hand) -> None:
    manifest = b"".join(map(encode_line, [entry("d/1", "one", "input"), entry("d/2", "two", "input")]))
    store = BlobStore(hand.gitrun_dir)
    with store.session() as session:
        blob = session.put(manifest)
        session.commit()
    directory = {**entry("d", "", "input"), "type": "directory", "sha256": None, "manifest": blob}
    seal(hand, RUNS[0], entry("x", "two"))
    seal(hand, RUNS[1], directory)
    assert traces(hand).readers(sha("two")) == [RUNS[1]]
    with Archive.open(str(hand.root), os.environ) as archive:
        run = archive.run(RUNS[1])
        assert run is not None
        found = lineage(archive, run)
    assert [(step.maker, [file.read for file in step.files]) for step in found.steps] == [(RUNS[0], ["d/2"])]
    assert found.origins == {RUNS[1]: ["d/1"], RUNS[0]: []}


def test_lineage_walks_both_ways_and_ends(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("raw", "raw", "input"), entry("data", "data"))
    seal(hand, RUNS[1], entry("copy", "data", "input", produced_by=RUNS[0]), entry("model", "model"))
    seal(hand, RUNS[2], entry("model", "model", "input"), entry("report", "report"))
    seal(hand, RUNS[3], entry("model", "model", "input", produced_by=RUNS[1]))
    seal(hand, RUNS[4], entry("gone", "gone", "input", produced_by="20250101-000000-zzzzzz"))
    with Archive.open(str(hand.root), os.environ) as archive:
        run = archive.run(RUNS[1])
        assert run is not None
        found = lineage(archive, run)
        assert [(step.maker, step.reader) for step in found.steps] == [
            (RUNS[0], RUNS[1]), (RUNS[1], RUNS[2]), (RUNS[1], RUNS[3]),
        ]  # fmt: skip
        (step,) = found.makers_of(RUNS[1])
        assert [tuple(file)[:2] for file in step.files] == [("data", "copy")]
        assert found.origins == {RUNS[1]: [], RUNS[0]: ["raw"]}
        assert found.gaps == []
        orphan = archive.run(RUNS[4])
        assert orphan is not None
        assert lineage(archive, orphan).gaps == ["run 20250101-000000-zzzzzz is not here"]


def test_of_equal_contents_the_run_that_is_named_counts_else_the_last_before(hand: Hand) -> None:
    seal(hand, RUNS[0], entry("m", "same"))
    seal(hand, RUNS[1], entry("m", "same"))
    seal(hand, RUNS[2], entry("m", "same", "input", produced_by=RUNS[0]))
    seal(hand, RUNS[3], entry("m", "same", "input"))
    seal(hand, RUNS[4], entry("m", "same"))
    with Archive.open(str(hand.root), os.environ) as archive:
        readers = {}
        for run_id in (RUNS[0], RUNS[1], RUNS[4]):
            run = archive.run(run_id)
            assert run is not None
            readers[run_id] = [step.reader for step in lineage(archive, run).readers_of(run_id)]
    assert readers == {RUNS[0]: [RUNS[2]], RUNS[1]: [RUNS[3]], RUNS[4]: []}
