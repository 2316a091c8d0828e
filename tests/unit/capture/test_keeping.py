"""Which outputs are stored, and what is said of the others."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import keeping
from gitrun.capture.keeping import Budget, Kept, Output, floor_of, keep
from gitrun.errors import DiskFull
from gitrun.store.blobs import BlobStore
from gitrun.store.chunk_lists import chunks_of
from tests.conftest import write_files

FOREVER = float("inf")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    (tmp_path / "gitrun").mkdir()
    yield BlobStore(str(tmp_path / "gitrun"))


def outputs(top: Path, *names: str) -> list[Output]:
    paths = [os.fsencode(top / name) for name in names]
    return [Output(os.fsencode(n), p, os.lstat(p), "scan") for n, p in zip(names, paths, strict=True)]


def kept(store: BlobStore, found: list[Output], **limits: Any) -> Kept:
    budget = Budget(**{"most_bytes": 1 << 30, "floor_bytes": 1, "store_dir": "/", "end": lambda: FOREVER, **limits})
    with store.session() as session:
        done = keep(found, session, budget)
        session.commit()
    return done


def by_path(done: Kept) -> dict[str, Any]:
    return {line["path"]: line for line in done.lines}


def test_content_comes_back(tmp_path: Path, store: BlobStore) -> None:
    large = os.urandom(3 << 20)
    write_files(tmp_path / "t", {"small": "abc", "empty": "", "large": large, "huge": os.urandom(1 << 20) * 20})
    os.chmod(tmp_path / "t/small", 0o755)
    done = kept(store, outputs(tmp_path / "t", "small", "empty", "large", "huge"))
    assert done.problems == []
    for name, line in by_path(done).items():
        data = (tmp_path / "t" / name).read_bytes()
        assert b"".join(store.read(chunks_of(line, store.get))) == data
        assert (line["sha256"], line["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
        assert line["stored"] is True and line["reason"] is None
    assert by_path(done)["small"]["mode"] == "0755"
    assert "chunk_list" in by_path(done)["huge"] and "chunks" in by_path(done)["large"]


def test_the_largest_are_left_out_first_and_named_with_their_digest(tmp_path: Path, store: BlobStore) -> None:
    write_files(tmp_path / "t", {name: name * size for name, size in (("a", 400), ("b", 300), ("c", 200), ("d", 100))})
    lines = by_path(kept(store, outputs(tmp_path / "t", *"abcd"), most_bytes=650))
    assert {name: line["reason"] for name, line in lines.items()} == {"a": "limit", "b": None, "c": None, "d": None}
    assert lines["a"]["sha256"] == hashlib.sha256(b"a" * 400).hexdigest() and "chunks" not in lines["a"]


@pytest.mark.parametrize(
    "pattern", ["big.bin", "*.bin", "out", "out/", "out/*", "out/deep/big.bin", "deep/big.bin", "deep", "*/big.*"]
)
def test_patterns_decide_before_sizes(tmp_path: Path, store: BlobStore, pattern: str) -> None:
    write_files(tmp_path / "t", {"out/deep/big.bin": "x" * 1000, "a": "x" * 10})
    found = outputs(tmp_path / "t", "out/deep/big.bin", "a")
    lines = by_path(kept(store, found, most_bytes=10, keep=[pattern], base=b"out/"))
    assert lines["out/deep/big.bin"]["stored"] and lines["a"]["stored"]  # what is chosen takes no room from others
    lines = by_path(kept(store, found, no_keep=[pattern], keep=["*"], base=b"out/"))
    assert lines["out/deep/big.bin"]["reason"] == "no_keep" and lines["a"]["stored"]
    assert lines["out/deep/big.bin"]["sha256"] == hashlib.sha256(b"x" * 1000).hexdigest()


def test_the_disk_keeps_its_floor(tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "t", {"a": "x" * 100, "b": "y" * 300})
    monkeypatch.setattr(keeping, "free_bytes", lambda directory: 1200)
    lines = by_path(kept(store, outputs(tmp_path / "t", "a", "b"), floor_bytes=1000, keep=["*"]))
    assert (lines["a"]["reason"], lines["b"]["reason"]) == (None, "space")
    assert lines["b"]["sha256"] == hashlib.sha256(b"y" * 300).hexdigest()


def test_the_floor_is_a_part_of_the_disk() -> None:
    disk = os.statvfs("/")
    assert floor_of("/", 0) == max(disk.f_blocks * disk.f_frsize // 20, 5 << 30)
    assert floor_of("/not/made/yet", 0) == floor_of("/", 0) and floor_of("/", 7) == 7


def test_secrets_are_neither_stored_nor_hashed(tmp_path: Path, store: BlobStore) -> None:
    write_files(tmp_path / "t", {".env": "TOKEN=1", "a/id_rsa": "key"})
    lines = by_path(kept(store, outputs(tmp_path / "t", ".env", "a/id_rsa"), keep=["*"]))
    assert all((one["reason"], one["sha256"], one["stored"]) == ("secret", None, False) for one in lines.values())


def test_a_link_is_its_target(tmp_path: Path, store: BlobStore) -> None:
    write_files(tmp_path / "t", {"a": "x"})
    os.symlink("a", tmp_path / "t/latest")
    (line,) = kept(store, outputs(tmp_path / "t", "latest")).lines
    assert (line["type"], line["target"], line["stored"], line["bytes"]) == ("link", "a", True, 1)


def test_time_that_runs_out_defers_what_is_left_even_within_a_file(tmp_path: Path, store: BlobStore) -> None:
    write_files(tmp_path / "t", {"small": "x", "large": os.urandom(40 << 20)})
    started = time.monotonic()
    calls: list[float] = []

    def end() -> float:
        calls.append(time.monotonic())
        return FOREVER if len(calls) < 8 else started  # in the middle of the large one

    lines = by_path(kept(store, outputs(tmp_path / "t", "small", "large"), end=end))
    assert lines["small"]["stored"] and lines["large"]["reason"] == "deferred" and lines["large"]["sha256"] is None
    found = os.stat(tmp_path / "t/large")
    assert lines["large"]["stat"] == [found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    assert b"".join(store.read(chunks_of(lines["small"], store.get))) == b"x"


def test_a_file_that_grows_is_taken_as_it_was_and_named_ambiguous(
    tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "t", {"log": "x" * 1000})
    found = outputs(tmp_path / "t", "log")
    true_place = keeping.place

    def grow(*args: Any) -> Any:
        with open(tmp_path / "t/log", "a") as log:
            log.write("more")
        return true_place(*args)

    monkeypatch.setattr(keeping, "place", grow)
    done = kept(store, found)
    assert done.problems == ["log: changed while it was read"]
    assert (done.lines[0]["evidence"], done.lines[0]["bytes"]) == ("ambiguous", 1000)


def test_what_is_gone_or_no_file_any_more_is_no_output(tmp_path: Path, store: BlobStore) -> None:
    write_files(tmp_path / "t", {"gone": "x", "pipe": "x", "stays": "x"})
    found = outputs(tmp_path / "t", "gone", "pipe", "stays")
    (tmp_path / "t/gone").unlink()
    (tmp_path / "t/pipe").unlink()
    os.mkfifo(tmp_path / "t/pipe")
    done = kept(store, found)
    assert [line["path"] for line in done.lines] == ["stays"]
    words = "it was there when the command had ended, and is gone"
    assert done.problems == [f"gone: {words}", f"pipe: {words}"]


def test_a_store_that_is_full_is_said(tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "t", {"a": "x"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gitrun.store.ingest.PackFile", full)
    with pytest.raises(DiskFull):
        kept(store, outputs(tmp_path / "t", "a"))
    monkeypatch.undo()
    (line,) = kept(store, outputs(tmp_path / "t", "a"), refused="space").lines
    assert (line["reason"], line["sha256"]) == ("space", hashlib.sha256(b"x").hexdigest())
