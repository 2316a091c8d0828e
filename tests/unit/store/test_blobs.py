import hashlib
import io
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitrun.errors import BlobNotFound, DamagedStore, GitrunError
from gitrun.store import ingest
from gitrun.store.blobs import BlobStore, Content
from gitrun.store.sessions import read_session

HEAVY = ("zstandard", "pyfastcdc", "msgpack", "dataclasses", "subprocess", "pathlib", "tempfile", "inspect", "ctypes")
LARGE = random.Random(2).randbytes(5 << 20)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "gitrun"))


def packs(store: BlobStore) -> list[Path]:
    return sorted(Path(store.directory, "packs").rglob("*.gpk"))


def test_what_is_put_comes_back_verified(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    with store.session() as session:
        blob = session.put(b"small")
        large = session.put_file(str(tmp_path / "file"))
        empty = session.put_bytes(b"")
        session.commit()
    assert blob == hashlib.sha256(b"small").hexdigest()
    assert large.sha256 == hashlib.sha256(LARGE).hexdigest() and large.bytes == len(LARGE) and len(large.chunks) > 5
    assert empty == Content(hashlib.sha256(b"").hexdigest(), 0, [])
    for reader in (store, BlobStore(store.gitrun_dir)):
        assert reader.get(blob) == b"small"
        assert b"".join(reader.read(large.chunks)) == LARGE
        assert list(reader.read([])) == []
        assert reader.has(blob) and not reader.has("0" * 64)
    (pack,) = packs(store)
    assert stat.S_IMODE(pack.stat().st_mode) == 0o444
    assert hashlib.sha256(pack.read_bytes()).hexdigest() == pack.stem
    assert (
        os.listdir(os.path.join(store.directory, "tmp")) == os.listdir(os.path.join(store.directory, "sessions")) == []
    )


def test_a_file_of_one_blob_is_its_own_hash(store: BlobStore) -> None:
    with store.session() as session:
        content = session.put_bytes(LARGE[: 2 << 20])
    assert content.chunks == [(content.sha256, 2 << 20)]


def test_nothing_stored_touches_nothing(store: BlobStore) -> None:
    with store.session() as session:
        session.commit()
    assert not store.has("0" * 64)
    with pytest.raises(BlobNotFound):
        store.get("0" * 64)
    assert not os.path.exists(store.gitrun_dir)


def test_the_record_path_imports_nothing_heavy() -> None:
    code = f"import gitrun.store.blobs, gitrun.files.materialise, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=os.getcwd())
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_equal_content_is_stored_once(store: BlobStore) -> None:
    for _ in range(2):
        with store.session() as session:
            first = session.put_bytes(LARGE)
            assert session.put_bytes(LARGE) == first
            session.commit()
    assert len(packs(store)) == 1
    assert packs(store)[0].stat().st_size < len(LARGE) + 10_000


def test_without_commit_nothing_is_stored(store: BlobStore) -> None:
    with store.session() as session:
        blob = session.put(b"x" * 100)
    assert not store.has(blob)
    with pytest.raises(RuntimeError), store.session() as session:
        session.put(b"x" * 100)
        raise RuntimeError
    assert [name for _, _, names in os.walk(store.directory) for name in names] == []


def test_packs_roll_over(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PACK_BYTES", 1 << 20)
    with store.session() as session:
        content = session.put_bytes(LARGE)
        session.commit()
    assert 4 <= len(packs(store)) <= 6
    assert b"".join(store.read(content.chunks)) == LARGE
    monkeypatch.setattr(ingest, "PACK_BLOBS", 10)
    with store.session() as session:
        blobs = [session.put(b"%d" % n) for n in range(25)]
        session.commit()
    assert [store.get(blob) for blob in blobs] == [b"%d" % n for n in range(25)]


def test_a_session_goes_on_after_a_commit(store: BlobStore) -> None:
    with store.session() as session:
        first = session.put(b"first")
        session.commit()
        assert store.get(first) == b"first"
        second = session.put(b"second")
        session.commit()
        assert session.put(b"first") == first
        session.commit()
    assert store.get(second) == b"second" and len(packs(store)) == 2


def test_other_processes_packs_are_found(store: BlobStore) -> None:
    assert not store.has("0" * 64)
    other = BlobStore(store.gitrun_dir)
    with other.session() as session:
        blob = session.put(b"theirs")
        session.commit()
    assert store.has(blob) and store.get(blob) == b"theirs"


def test_what_is_relied_on_is_promised_first(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.session() as session:
        blob = session.put(b"stored before")
        session.commit()
    with store.session() as session:
        session.put(b"stored before")
        session.put(b"new")
        session.commit()
        promises = read_session(session._promises.path)
        assert promises.blobs == [blob]
        assert promises.packs == [path.stem for path in packs(store) if path.stem in promises.packs]
        assert len(promises.packs) == 1


def test_a_pack_that_a_collector_takes_meanwhile_is_stored_again(store: BlobStore) -> None:
    with store.session() as session:
        blob = session.put(b"stored before")
        session.commit()
    (pack,) = packs(store)
    with store.session() as session:
        session.put(b"stored before")  # seen, not yet promised
        pack.rename(pack.with_suffix(".trash"))
        session.commit()
    assert len(packs(store)) == 1
    assert BlobStore(store.gitrun_dir).get(blob) == b"stored before"


def test_many_blobs_that_are_there_are_promised_in_few_syncs(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"%d" % n * 1000 for n in range(200)]
    with store.session() as session:
        for content in contents:
            session.put(content)
        session.commit()
    syncs: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (syncs.append(fd), real(fd))[1])
    with store.session() as session:
        for content in contents:
            session.put(content)
        session.commit()
    assert len(syncs) == 2  # the session file and its directory


def test_files_are_read_as_long_as_they_were(store: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with store.session() as session, open(path, "rb", buffering=0) as file:
        content = session.put_file(file.fileno())
        assert (content.bytes, file.closed) == (3, False)
        bounded = ingest._Bounded(io.BytesIO(b"0123456789"), 4)
        assert bounded.read(100) + bounded.read(100) == b"0123"


def test_what_is_no_regular_file_is_refused(store: BlobStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with store.session() as session:
        for path in (tmp_path / "fifo", tmp_path):
            with pytest.raises(GitrunError, match=r"regular|directory"):
                session.put_file(str(path))
        with pytest.raises(GitrunError, match="No such file"):
            session.put_file(str(tmp_path / "none"))
        with pytest.raises(ValueError, match="too many"):
            session.put(bytes((16 << 20) + 1))


@pytest.mark.parametrize("blob", ["", "../../x", "A" * 64, "0" * 63, 7, None])
def test_ids_that_are_none_are_refused(store: BlobStore, blob: object) -> None:
    for ask in (store.get, store.has):
        with pytest.raises(DamagedStore, match="E032"):
            ask(blob)  # type: ignore[operator]


def test_a_length_that_is_not_the_blobs_is_damage(store: BlobStore) -> None:
    with store.session() as session:
        blob = session.put(b"12345")
        session.commit()
    with pytest.raises(DamagedStore, match="E031"):
        list(store.read([(blob, 4)]))


def test_eight_writers_of_the_same_blobs(tmp_path: Path) -> None:
    code = f"""
import random
from gitrun.store.blobs import BlobStore
store = BlobStore({str(tmp_path / "g")!r})
with store.session() as session:
    content = session.put_bytes(random.Random(1).randbytes(3 << 20))
    blobs = [session.put(b"%d" % n) for n in range(50)]
    session.commit()
assert len(b"".join(store.read(content.chunks))) == 3 << 20
print(content.sha256)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=os.getcwd()) for _ in range(8)
    ]
    assert len({process.communicate()[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)
    store = BlobStore(str(tmp_path / "g"))
    assert store.get(hashlib.sha256(b"7").hexdigest()) == b"7"
    assert os.listdir(tmp_path / "g" / "store" / "tmp") == []


def test_memory_stays_flat(tmp_path: Path) -> None:
    code = f"""
import io, resource
from gitrun.store.blobs import BlobStore
class Source(io.RawIOBase):
    def __init__(self, size): self.left = size
    def readinto(self, room):
        size = min(len(room), self.left, 1 << 16); self.left -= size
        room[:size] = (b"%20d" % self.left) * (size // 20) + bytes(size % 20)
        return size
store = BlobStore({str(tmp_path / "g")!r})
peaks = []
for size in (40 << 20, 200 << 20):
    with store.session() as session:
        content = session.put_stream(Source(size)); session.commit()
    for _ in store.read(content.chunks): pass
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
assert peaks[1] - peaks[0] < 24 << 10, peaks
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.getcwd())
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_stays_flat_over_a_file_that_shrinks(tmp_path: Path) -> None:
    """What zstandard returns keeps the room of the plain bytes: a pack's buffer must not hold 32 MiB of such."""
    script = (
        "import resource, sys\n"
        "from gitrun.store.blobs import BlobStore\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with BlobStore(sys.argv[1]).session() as session:\n"
        "    session.put_bytes(bytes(8 << 20)); before = peak()\n"
        "    session.put_file(sys.argv[2]); session.commit()\n"
        "print(peak() - before)"
    )
    with open(tmp_path / "zeros", "wb") as file:
        for n in range(96 << 4):
            file.write(n.to_bytes(4, "big") + bytes((1 << 16) - 4))
    argv = [sys.executable, "-c", script, str(tmp_path / "store"), str(tmp_path / "zeros")]
    grown_kib = int(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
    assert grown_kib < 40 << 10
