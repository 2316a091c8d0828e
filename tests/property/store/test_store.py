"""What is put comes back, whatever it is and in whatever order sessions and processes meet."""

import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gitrun.errors import GitrunError, HostilePath
from gitrun.files.materialise import Materialiser
from gitrun.monitor import SILENT
from gitrun.store.blobs import BlobStore
from gitrun.store.chunking import Chunking, cut, read_head
from gitrun.store.codecs import Encoder, decode
from gitrun.store.pack import PackReader, ScannedPack

CONTENT = st.binary(max_size=300) | st.builds(lambda piece, n: piece * n, st.binary(max_size=8), st.integers(0, 500))


@given(CONTENT)
def test_decode_undoes_encode(content: bytes) -> None:
    codec, stored = Encoder().encode(content)
    assert len(stored) <= len(content)
    assert decode(codec, stored, len(content), "here") == content


@given(st.binary(max_size=600))
def test_any_bytes_are_a_pack_or_an_expected_problem(data: bytes) -> None:
    for kind in (PackReader, ScannedPack):
        for prefix in (b"", b"GITRUNPK\x01\0\0\0\0\0\0\0"):
            try:
                list(kind(prefix + data, "pack").entries())
            except GitrunError:
                continue  # as it should be


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=64), st.integers(1, 3000), st.integers(1, 5000))
def test_cuts_do_not_depend_on_how_the_source_gives(seed: bytes, times: int, step: int) -> None:
    how = Chunking(4096, 256, 1024, 4096, 2)
    data = b"".join(hashlib.sha256(seed + bytes([n % 251])).digest() for n in range(times))

    class Source(io.BytesIO):
        def readinto(self, room: Any, /) -> int:
            return super().readinto(memoryview(room)[:step])

    def pieces(source: io.BytesIO) -> list[bytes]:
        return [bytes(piece) for piece in cut(read_head(source, how), source, how, SILENT)]

    assert b"".join(pieces(Source(data))) == data
    assert pieces(Source(data)) == pieces(io.BytesIO(data))


NAME = st.sampled_from([b"a", b"b", b"A", b"\xff", b"..", b".git", b"", b"c d"])
PATHS = st.lists(st.lists(NAME, min_size=1, max_size=3).map(b"/".join), max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, PATHS, PATHS)
def test_a_tree_comes_out_whole_or_not_at_all(
    tmp_path: Path, files: list[bytes], links: list[bytes], empty: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        root = os.path.join(place, "out")
        try:
            with Materialiser(root, 10**18) as out:
                for path in files:
                    out.file(path, 0o100644, path)
                for path in links:
                    out.symlink(path, place.encode())
                for path in empty:
                    out.directory(path)
                out.finish()
        except HostilePath:
            assert os.listdir(place) == []
            return
        assert os.listdir(place) == ["out"]
        for path in files:
            with open(os.path.join(root.encode(), path), "rb") as file:
                assert file.read() == path
        for path in links:
            assert os.readlink(os.path.join(root.encode(), path)) == place.encode()
        for path in empty:
            assert os.path.isdir(os.path.join(root.encode(), path))


class Stores(RuleBasedStateMachine):
    """Two stores on one directory, with sessions that commit, abort and overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.stores = [BlobStore(self.place.name), BlobStore(self.place.name)]
        self.sessions = [store.session() for store in self.stores]
        self.pending: list[set[bytes]] = [set(), set()]
        self.durable: set[bytes] = set()

    @rule(who=st.integers(0, 1), content=st.integers(0, 20).map(lambda n: b"%d" % n * (n * 40)))
    def put(self, who: int, content: bytes) -> None:
        assert self.sessions[who].put(content) == hashlib.sha256(content).hexdigest()
        self.pending[who].add(content)

    @rule(who=st.integers(0, 1))
    def commit(self, who: int) -> None:
        self.sessions[who].commit()
        self.durable |= self.pending[who]

    @rule(who=st.integers(0, 1))
    def end(self, who: int) -> None:
        self.sessions[who].__exit__(None, None, None)
        self.sessions[who], self.pending[who] = self.stores[who].session(), set()

    @invariant()
    def what_was_committed_is_there(self) -> None:
        for store in (*self.stores, BlobStore(self.place.name)):
            for content in self.durable:
                assert store.get(hashlib.sha256(content).hexdigest()) == content

    def teardown(self) -> None:
        for session in self.sessions:
            session.__exit__(None, None, None)
        for leftover in ("tmp", "sessions"):
            path = os.path.join(self.place.name, "store", leftover)
            assert not os.path.exists(path) or os.listdir(path) == []
        self.place.cleanup()


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
