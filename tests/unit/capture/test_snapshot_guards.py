"""The guards: each leaves an entry, and the same files give the same choice."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from gitrun.monitor import Monitor
from tests.differential.snapshot_states import base, write
from tests.snapshots import content, files_of, git, snapshot, store_of


class Listening(Monitor):
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    base(made)
    return made


def excluded(root: Path, **flags: str) -> list[tuple[str, str, int, int]]:
    source = snapshot(root, flags={key.replace("__", "."): value for key, value in flags.items()}).source
    return [(e["path"], e["reason"], e["bytes"], e.get("files", 1)) for e in source["excluded"]]


def test_large_files_go_to_the_store(root: Path) -> None:
    write(root, "data/new.bin", b"n" * 5000)
    write(root, "b.txt", b"m" * 6000)
    write(root, "staged.bin", b"s" * 7000)
    git(root, "add", "staged.bin")
    write(root, "small", b"s" * 4096)
    taken = snapshot(root, flags={"record.large_file": "4k"})
    lines = {line["path"]: line for line in taken.extra}
    assert sorted(lines) == ["b.txt", "data/new.bin", "staged.bin"]
    assert {line["reason"] for line in lines.values()} == {"large"}
    assert b"".join(store_of(root).read([tuple(c) for c in lines["b.txt"]["chunks"]])) == b"m" * 6000
    assert not files_of(root, taken.tree).keys() & {b"b.txt", b"data/new.bin", b"staged.bin"}
    assert taken.source["modified"] == ["b.txt"] and taken.source["deleted"] == []
    assert taken.source["dirty"]


def test_a_large_file_that_head_has_stays_in_the_tree(root: Path) -> None:
    write(root, "committed.bin", b"c" * 9000)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "large")
    (root / "committed.bin").touch()
    taken = snapshot(root, flags={"record.large_file": "4k"})
    assert taken.extra == [] and b"committed.bin" in files_of(root, taken.tree)


def test_the_guard_for_large_files_is_about_what_git_would_store(root: Path) -> None:
    """A line-end conversion, or a filter, does not smuggle a large blob into Git; a pointer is as small as it looks."""
    write(root, ".gitattributes", "*.txt text\n*.lfs filter=lfs\n")
    git(root, "config", "filter.lfs.clean", "echo version https://git-lfs.github.com/spec/v1; wc -c")
    write(root, "tracked.txt", b"small\r\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "converted")
    write(root, "tracked.txt", b"large\r\n" * 1000)
    write(root, "new.txt", b"large\r\n" * 1000)
    write(root, "model.lfs", b"weights" * 1000)
    taken = snapshot(root, flags={"record.large_file": "4k"})
    assert {line["path"]: line["reason"] for line in taken.extra} == {
        "tracked.txt": "large",
        "new.txt": "large",
        "model.lfs": "lfs",
    }
    assert not files_of(root, taken.tree).keys() & {b"tracked.txt", b"new.txt"}
    assert content(root, taken.tree, "model.lfs").startswith(b"version https://git-lfs")


def test_memory_stays_flat_with_a_large_file(root: Path) -> None:
    with open(root / "large", "wb") as file:
        for _ in range(96):
            file.write(os.urandom(1 << 20))
    tracemalloc.start()
    snapshot(root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_too_many_files_are_left_out_by_directory(root: Path) -> None:
    for n in range(30):
        write(root, f"data/{n}", "xx")
    for n in range(5):
        write(root, f"code/{n}.py", "x")
    found = excluded(root, record__max_files="12")
    assert found == [("data/", "max_files", 46, 23)]
    assert found == excluded(root, record__max_files="12")


def test_too_many_bytes_are_left_out_by_directory(root: Path) -> None:
    for n in range(10):
        write(root, f"data/{n}", b"x" * 1000)
    write(root, "code.py", "x\n")
    write(root, "a.py", "tracked files are always taken\n" * 1000)
    found = excluded(root, record__max_bytes="36k")
    assert found == [("data/", "max_bytes", 5000, 5)]


def test_a_heavy_snapshot_is_warned_about(root: Path) -> None:
    for n in range(8):
        write(root, f"data/{n}")
    listening = Listening()
    snapshot(root, flags={"record.warn_files": "5"}, monitor=listening)
    ((code, message),) = listening.said
    assert code == "W041" and "data/ (8 files" in message


def test_secret_files_stay_out_unless_asked_for(root: Path) -> None:
    for name in (".env", ".env.example", "deploy/id_rsa", "deploy/key.pem", "credentials.py", "credentials.json"):
        write(root, name)
    write(root, "tracked.pem")
    git(root, "add", "tracked.pem")
    assert [(path, reason) for path, reason, *_ in excluded(root)] == [
        (".env", "secret"),
        ("credentials.json", "secret"),
        ("deploy/id_rsa", "secret"),
        ("deploy/key.pem", "secret"),
    ]
    found = excluded(root, record__include_secret_files="*.pem:.env")
    assert [path for path, *_ in found] == ["credentials.json", "deploy/id_rsa"]
    assert content(root, snapshot(root).tree, "tracked.pem") == b"text\n"


def test_trackers_are_known_by_their_marks(root: Path) -> None:
    for name in (
        "wandb/run-20260101_101010-abc123/files/x",
        "wandb/debug.log",
        "mlruns/0/meta.yaml",
        "mlruns/0/run/metrics/loss",
        "lightning_logs/version_0/hparams.yaml",
        "outputs/2026-01-01/10-10-10/.hydra/config.yaml",
        "outputs/2026-01-01/10-10-10/train.log",
        "runs/Jan01_host/events.out.tfevents.1.host",
        "events.out.tfevents.2.host",
        "package/.hydra/config.yaml",
        "package/code.py",
        "other/wandb/__init__.py",
        "other/mlruns/notes.md",
    ):
        write(root, name, "12")
    source = snapshot(root).source
    assert [(e["path"], e["files"], e["bytes"]) for e in source["excluded"] if e["reason"] == "tracker"] == [
        ("events.out.tfevents.2.host", 1, 2),
        ("lightning_logs/", 1, 2),
        ("mlruns/", 2, 4),
        ("outputs/2026-01-01/10-10-10/", 2, 4),
        ("package/.hydra", 1, 2),
        ("runs/Jan01_host/", 1, 2),
        ("wandb/", 2, 4),
    ]
    assert source["untracked"] == ["other/mlruns/notes.md", "other/wandb/__init__.py", "package/code.py"]
    assert source["empty_directories"] == []
    kept = snapshot(root, flags={"record.trackers": "keep"}).source
    assert kept["excluded"] == [] and len(kept["untracked"]) == 13


def test_two_snapshots_with_a_tracker_run_between_are_the_same(root: Path) -> None:
    first = snapshot(root)
    write(root, "wandb/run-20260101_101010-abc123/files/x")
    second = snapshot(root)
    assert (first.tree, second.source["dirty"]) == (second.tree, False)
