"""Annotations: said by one writer, read by all, never in the way of anything else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.annotations import LOCK, Annotations, Event, annotate
from gitrun.archive.since import merged
from gitrun.git.executable import find_git
from gitrun.git.objects import open_reader
from gitrun.git.refs import ANNOTATIONS, read_refs
from gitrun.git.repository import Repository, discover
from gitrun.model.canonical import decode_lines
from gitrun.monitor import Monitor

RUN, OTHER = "20261124-061246-abc123", "20251231-235959-zzzzz0"


class Warned(Monitor):
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Repository:
    return discover(str(make_repo()), find_git(), os.environ)


def say(repo: Repository, run: str = RUN, kind: str = "note", body: Any = None, clone: str = "gitrun") -> Event:
    home = os.path.join(repo.common_dir, clone)
    os.makedirs(home, exist_ok=True)
    with open_reader(repo) as reader:
        return annotate(repo, home, os.environ, reader, run, kind, body or {}, [])


def read(repo: Repository, run: str = RUN, monitor: Monitor | None = None) -> list[Event]:
    with open_reader(repo) as reader:
        return Annotations(repo, lambda: reader, monitor or Monitor()).of(run)


def test_what_was_said_is_read_in_order(repo: Repository) -> None:
    assert read(repo) == []
    said = [say(repo, body={"text": "one"}), say(repo, OTHER), say(repo, kind="unknown to anybody", body={"x": [1]})]
    assert [event.seq for event in said] == [1, 2, 3]
    assert read(repo) == [said[0], said[2]] and read(repo, OTHER) == [said[1]]


def test_writers_are_merged_by_the_lamport_clock(repo: Repository) -> None:
    first, second, third = say(repo), say(repo, clone="other"), say(repo)
    assert len(read_refs(repo, ANNOTATIONS)) == 2 and second.seq == 1
    assert read(repo) == [first, second, third]


def test_a_chain_only_grows(repo: Repository, git: Callable[..., Any]) -> None:
    for _ in range(3):
        say(repo)
    ((name, tip),) = read_refs(repo, ANNOTATIONS).items()
    top = repo.worktree
    assert git("rev-list", "--count", tip, cwd=top).stdout == "3\n"
    assert git("fsck", "--strict", cwd=top).code == 0
    lines = git("show", f"{tip}:runs/{RUN[:6]}/{RUN}.jsonl", cwd=top).stdout_bytes
    assert [line["seq"] for line in decode_lines(lines)] == [1, 2, 3]
    assert git("show", f"{tip}:annotations.json", cwd=top).json()["writer"] == name.removeprefix(ANNOTATIONS)


def test_many_at_once_lose_nothing(repo: Repository) -> None:
    threads = [threading.Thread(target=say, args=(repo,), kwargs={"body": {"n": n}}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = read(repo)
    assert sorted(event.body["n"] for event in events) == list(range(8))
    assert [event.seq for event in events] == list(range(1, 9))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"format":1}\n',
        b'{"format":99,"kind":"x"}\n',
        b'{"blobs":[],"body":{},"format":1,"kind":"x","lamport":1,"run":"OTHER","seq":1,"time":"t","writer":"strange1"}\n',
        b'{"blobs":[],"body":{},"format":1,"kind":"x","lamport":-1,"run":"RUN","seq":1,"time":"t","writer":"strange1"}\n',
        b'{"blobs":[],"body":[],"format":1,"kind":"x","lamport":1,"run":"RUN","seq":1,"time":"t","writer":"strange1"}\n',
    ],
)
def test_a_damaged_writer_is_left_out_and_named(repo: Repository, git: Callable[..., Any], line: bytes) -> None:
    mine = say(repo)
    data = line.replace(b"RUN", RUN.encode()).replace(b"OTHER", OTHER.encode())
    top = repo.worktree
    blob = git("hash-object", "-w", "--stdin", cwd=top, input=data).stdout.strip()
    tree = blob
    for name, kind in ((f"{RUN}.jsonl", "blob"), (RUN[:6], "tree"), ("runs", "tree")):
        mode = "100644" if kind == "blob" else "040000"
        tree = git("mktree", cwd=top, input=f"{mode} {kind} {tree}\t{name}\n").stdout.strip()
    commit = git("commit-tree", "-m", "x", tree, cwd=top).stdout.strip()
    git("update-ref", f"{ANNOTATIONS}strange1", commit, cwd=top)
    warned = Warned()
    assert read(repo, monitor=warned) == [mine]
    assert [code for code, _ in warned.said] == (["W014"] if line else [])
    say(repo)  # somebody else's damage keeps nobody from speaking


def test_a_lockfile_that_was_made_later_counts() -> None:
    record = {
        "id": RUN,
        "lock": {"state": "none", "reason": "slow"},
        "coverage": {"lock": ["slow"], "source": "complete"},
    }
    lock = {"state": "resolved", "reason": None, "source": "uv", "missing": [], "vendored": []}
    events = [
        Event(LOCK, RUN, "w", 1, 1, "t", {"state": "pinned"}, []),
        Event("note", RUN, "w", 2, 2, "t", {"state": "no lock"}, []),
        Event(LOCK, RUN, "w", 3, 3, "t", {**lock, "pylock": {"chunks": []}}, []),
    ]
    assert merged(record, events) == {**record, "lock": lock, "coverage": {"lock": "complete", "source": "complete"}}
    assert merged(record, events[1:2]) is record
