"""Two ends of one chain: every event once, the same commit whoever merges."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.archive.annotations import Annotations, annotate
from gitrun.git.objects import open_reader
from gitrun.git.refs import ANNOTATIONS, read_refs
from gitrun.git.trees import FILE, TreeEntry, encode_commit, encode_tree, parse_commit
from gitrun.monitor import Monitor
from gitrun.remote.annotations import merge, readable
from tests.git_support import git, init, opened, run_id

ONE, TWO = run_id(1), run_id(2)


class Heard(Monitor):
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


def ends(root: Path) -> tuple[str, str, str]:
    """A ref, and two ends of its chain that have parted after the first event."""
    repo = opened(root)
    place = repo.gitrun_dir(os.environ)

    def say(about: str, text: str) -> str:
        with open_reader(repo) as reader:
            annotate(repo, place, os.environ, reader, about, "note", {"text": text}, [])
        return next(iter(read_refs(repo, ANNOTATIONS).values()))

    start = say(ONE, "start")
    name = next(iter(read_refs(repo, ANNOTATIONS)))
    say(ONE, "left")
    left = say(TWO, "left of two")
    git("update-ref", name, start, cwd=root)
    return name, left, say(ONE, "right")


def test_no_event_is_lost_and_the_order_does_not_matter(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    name, left, right = ends(root)
    repo = opened(root)
    with open_reader(repo) as reader:
        merged = merge(repo, reader, left, right)
        assert merge(repo, reader, right, left) == merged
        assert parse_commit(reader.read(merged)[1]).parents == tuple(sorted((left, right)))
        tips = {name.removeprefix(ANNOTATIONS): merged}
        said = Annotations(repo, lambda: reader, tips=tips)
        assert [event.body["text"] for event in said.of(ONE)] in (
            ["start", "left", "right"],
            ["start", "right", "left"],
        )
        assert [event.body["text"] for event in said.of(TWO)] == ["left of two"]
    assert readable(repo, {name: merged}, Heard()) == {name: merged}


@pytest.mark.parametrize("lines", [b"not json\n", b'{"format": 1}\n', b'{"format": 99}\n', b"[" * 5000 + b"\n"])
def test_what_cannot_be_read_is_not_taken(tmp_path: Path, lines: bytes) -> None:
    root = init(tmp_path / "r")
    repo, heard = opened(root), Heard()

    def write(kind: str, data: bytes) -> str:
        out = git("hash-object", "-t", kind, "-w", "--stdin", cwd=root, input=data)
        return out.decode().strip()

    month = write("tree", encode_tree([TreeEntry(f"{ONE}.jsonl".encode(), FILE, write("blob", lines))]))
    runs = write("tree", encode_tree([TreeEntry(ONE[:6].encode(), 0o40000, month)]))
    top = write("tree", encode_tree([TreeEntry(b"runs", 0o40000, runs)]))
    from gitrun.git.identity import FALLBACK

    tip = write("commit", encode_commit(top, [], FALLBACK, 0, "+0000", b"x\n"))
    assert readable(repo, {ANNOTATIONS + "w" * 13: tip, ANNOTATIONS + "v" * 13: top}, heard) == {}
    assert [code for code, _ in heard.said] == ["W061", "W061"]
