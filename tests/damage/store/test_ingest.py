"""Ingest that fails or is killed at any one system call leaves whole packs and temporary files, nothing else."""

import errno
import hashlib
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.errors import DiskFull, GitrunError, NotWritable
from gitrun.store import ingest
from gitrun.store.blobs import BlobStore
from tests.forking import in_child

CALLS = ("open", "write", "fsync", "rename", "mkdir")
CONTENTS = [os.urandom(1000 * n) for n in range(1, 9)]
OLD = b"stored before" * 100


class Fault:
    """Counts the calls of a few functions of `os`, and does something instead of number `at`."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, act: Callable[[], Any]) -> None:
        self.count = 0
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name), at, act))

    def _counted(self, real: Callable[..., Any], at: int, act: Callable[[], Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if args and not str(args[0]).endswith(".gpk"):  # reading a pack is another matter
                self.count += 1
                if self.count == at:
                    act()
            return real(*args, **options)

        return call


def prepare(directory: Path) -> BlobStore:
    store = BlobStore(str(directory))
    with store.session() as session:
        session.put(OLD)
        session.commit()
    return BlobStore(str(directory))


def ingest_all(store: BlobStore) -> None:
    with store.session() as session:
        session.put(OLD)
        for content in CONTENTS:
            session.put(content)
        session.commit()


def check(directory: Path) -> int:
    """Every pack is whole and named by its hash, nothing else is in packs/; how many new blobs are there."""
    for path in (directory / "store" / "packs").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
    store = BlobStore(str(directory))
    assert store.get(hashlib.sha256(OLD).hexdigest()) == OLD
    there = [content for content in CONTENTS if store.has(hashlib.sha256(content).hexdigest())]
    for content in there:
        assert store.get(hashlib.sha256(content).hexdigest()) == content
    return len(there)


def calls_of_an_ingest(directory: Path) -> int:
    store = prepare(directory)
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, 0, lambda: None)
        ingest_all(store)
    assert check(directory) == len(CONTENTS)
    return fault.count


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PACK_BYTES", 10_000)
    monkeypatch.setattr(ingest, "_BUFFER_BYTES", 2_000)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EACCES, NotWritable), (errno.EIO, GitrunError)],
)
def test_a_failing_call_leaves_no_half_pack_and_no_temporary_file(
    tmp_path: Path, number: int, kind: type[GitrunError]
) -> None:
    steps = calls_of_an_ingest(tmp_path / "count")
    assert steps > 30

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    for at in range(1, steps + 1):
        directory = tmp_path / str(at)
        store = prepare(directory)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(kind):
            Fault(patch, at, fail)
            ingest_all(store)
        check(directory)
        for leftover in ("tmp", "sessions"):
            place = directory / "store" / leftover
            assert not place.exists() or os.listdir(place) == []
        ingest_all(BlobStore(str(directory)))
        assert check(directory) == len(CONTENTS)


def test_a_kill_at_any_call_leaves_only_temporary_files(tmp_path: Path) -> None:
    steps = calls_of_an_ingest(tmp_path / "count")
    for at in range(1, steps + 1):
        directory = tmp_path / str(at)
        store = prepare(directory)

        def dies(at: int = at, store: BlobStore = store) -> None:
            with pytest.MonkeyPatch.context() as patch:
                Fault(patch, at, lambda: os._exit(9))
                ingest_all(store)

        assert in_child(dies) == 9
        check(directory)
        ingest_all(BlobStore(str(directory)))
        assert check(directory) == len(CONTENTS)


def test_a_failed_session_stays_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(str(tmp_path / "g"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.session() as session:
        for content in CONTENTS[:3]:
            session.put(content)
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "write_all", full)
            with pytest.raises(DiskFull):
                session.commit()
        for use in (session.commit, lambda: session.put(b"more"), lambda: session.put(CONTENTS[0])):
            with pytest.raises(DiskFull):
                use()


def test_a_really_full_disk(tmp_path: Path) -> None:
    """By the limit on a file's size, which the kernel keeps as it keeps a quota."""

    def fills() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        store = BlobStore(str(tmp_path / "g"))
        with pytest.raises(DiskFull), store.session() as session:
            session.put(os.urandom(9000))
            session.commit()

    assert in_child(fills) == 0
    assert [name for _, _, names in os.walk(tmp_path / "g") for name in names] == []
