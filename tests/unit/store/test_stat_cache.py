import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.store import stat_cache
from gitrun.store.blobs import BlobStore
from gitrun.store.stat_cache import StatCache

DATA = os.urandom(3 << 20)
OLD_NS = 1_700_000_000 * 10**9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    settle(path)
    return path


def settle(path: Path) -> None:
    """Wait until the file system's clock has gone on."""
    probe = path.with_name("probe")
    while True:
        probe.write_bytes(b"x")
        if probe.stat().st_mtime_ns > path.stat().st_ctime_ns:
            return
        time.sleep(0.002)


def store_it(store: BlobStore, path: Path) -> tuple[object, int]:
    """What putting a file returns, and how many bytes of it were read."""
    before = bytes_read()
    with store.session() as session:
        content = session.put_file(str(path))
        session.commit()
    return content, bytes_read() - before


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, file: Path) -> None:
    first, read = store_it(BlobStore(str(tmp_path / "g")), file)
    assert read > len(DATA)
    again, read = store_it(BlobStore(str(tmp_path / "g")), file)
    assert again == first and read < 200_000


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(DATA[:-1] + b"x"),
        lambda path: path.write_bytes(DATA + b"x"),
        lambda path: (path.write_bytes(DATA[:-1] + b"x"), os.utime(path, ns=(OLD_NS, OLD_NS))),  # the ctime tells
        lambda path: (path.with_name("new").write_bytes(DATA[:-1] + b"x"), path.with_name("new").rename(path)),
    ],
)
def test_a_changed_file_is_read(tmp_path: Path, file: Path, change: Callable[[Path], object]) -> None:
    os.utime(file, ns=(OLD_NS, OLD_NS))
    settle(file)
    store = BlobStore(str(tmp_path / "g"))
    store_it(store, file)
    change(file)
    content, _ = store_it(store, file)
    assert b"".join(store.read(content.chunks)) == file.read_bytes()  # type: ignore[attr-defined]


def test_a_file_written_in_the_tick_in_which_it_was_read_is_read_again(tmp_path: Path, file: Path) -> None:
    cache, found = StatCache(str(tmp_path / "g")), file.stat()
    cache.clock_ns(found)
    cache.put("kind", found, found.st_ctime_ns, b"value")
    assert cache.get("kind", found) is None
    cache.put("kind", found, found.st_ctime_ns + 1, b"value")
    assert cache.get("kind", found) == b"value"


def test_the_clock_is_that_of_the_file_system(tmp_path: Path, file: Path) -> None:
    cache = StatCache(str(tmp_path / "g"))
    found = file.stat()
    before = cache.clock_ns(found)
    file.write_bytes(DATA)
    assert found.st_ctime_ns < before <= file.stat().st_ctime_ns
    elsewhere = os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))
    elsewhere = os.stat_result(tuple(elsewhere), {"st_mtime_ns": 0, "st_ctime_ns": 0})
    assert cache.clock_ns(elsewhere) <= cache.clock_ns(found) - 2 * 10**9
    assert os.listdir(tmp_path / "g" / "cache" / "files") == []


def test_a_file_that_is_written_to_while_it_is_read_is_not_remembered(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore(str(tmp_path / "g"))
    with store.session() as session:
        real = session.put_stream

        def meanwhile(*words: object) -> object:
            content = real(*words)  # type: ignore[arg-type]
            with open(file, "r+b") as other:
                other.write(b"changed")
            return content

        monkeypatch.setattr(session, "put_stream", meanwhile)
        session.put_file(str(file))
        session.commit()
    content, _ = store_it(store, file)
    assert b"".join(store.read(content.chunks)) == file.read_bytes()  # type: ignore[attr-defined]


def test_what_is_no_longer_stored_is_read_and_stored_again(tmp_path: Path, file: Path) -> None:
    store_it(BlobStore(str(tmp_path / "g")), file)
    for pack in (tmp_path / "g" / "store" / "packs").rglob("*.gpk"):
        pack.unlink()
    store = BlobStore(str(tmp_path / "g"))
    content, read = store_it(store, file)
    assert read > len(DATA)
    assert b"".join(store.read(content.chunks)) == DATA  # type: ignore[attr-defined]


def test_what_a_collector_takes_after_the_look_is_stored_again(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_it(BlobStore(str(tmp_path / "g")), file)
    store = BlobStore(str(tmp_path / "g"))
    with store.session() as session:
        real = session._promises.publish

        def publish(kind: str, names: object) -> None:
            for pack in (tmp_path / "g" / "store" / "packs").rglob("*.gpk") if kind == "blob" else ():
                pack.unlink()
            real(kind, names)  # type: ignore[arg-type]

        monkeypatch.setattr(session._promises, "publish", publish)
        content = session.put_file(str(file))
        session.commit()
    assert b"".join(BlobStore(str(tmp_path / "g")).read(content.chunks)) == DATA


def test_what_is_relied_on_unread_is_promised(tmp_path: Path, file: Path) -> None:
    store = BlobStore(str(tmp_path / "g"))
    store_it(store, file)
    with store.session() as session:
        content = session.put_file(str(file))
        promised = Path(session._promises.path).read_text()
    assert all(f"blob {blob}\n" in promised for blob, _ in content.chunks)


def test_a_damaged_entry_is_none(tmp_path: Path, file: Path) -> None:
    cache, found = StatCache(str(tmp_path / "g")), file.stat()
    cache.clock_ns(found)
    cache.put("kind", found, found.st_ctime_ns + 1, b"value")
    (path,) = (tmp_path / "g" / "cache" / "files").iterdir()
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert cache.get("kind", found) is None
        path.write_bytes(data[:at])
        assert cache.get("kind", found) is None


def test_the_oldest_make_room(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stat_cache, "MOST_ENTRIES", 8)
    found = file.stat()
    StatCache(str(tmp_path / "g")).clock_ns(found)
    for n in range(20):
        StatCache(str(tmp_path / "g")).put(f"kind {n}", found, found.st_ctime_ns + 1, b"value")
        os.utime(StatCache(str(tmp_path / "g"))._path(f"kind {n}", found), ns=(n, n))
    kept = [n for n in range(20) if StatCache(str(tmp_path / "g")).get(f"kind {n}", found)]
    assert kept == list(range(20 - len(kept), 20)) and 6 <= len(kept) <= 8


def test_nothing_is_remembered_where_nothing_can_be_written(tmp_path: Path, file: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "cache").write_bytes(b"in the way")
    store = BlobStore(str(tmp_path / "g"))
    assert store_it(store, file)[0] == store_it(store, file)[0]
