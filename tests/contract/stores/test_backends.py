"""What every place for blobs has to do, asked of each of them as it really is."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitrun.errors import BlobNotFound, DamagedStore, GitrunError, NewerFormat
from gitrun.model.canonical import encode
from gitrun.remote.stores.protocol import BlobStoreBackend, LocalPack
from gitrun.store.ingest import PackFile
from gitrun.store.pack import PackReader, Tail
from tests.contract.stores.conftest import Place


def make_pack(directory: Path, seed: int, blobs: int = 3) -> LocalPack:
    """A pack of noise on this machine."""
    import hashlib

    file = PackFile(str(directory))
    rnd = random.Random(seed)
    for _ in range(blobs):
        data = rnd.randbytes(5000)
        file.writer.add(hashlib.sha256(data).digest(), 0, len(data), data)
    name = file.finish()
    data = Path(file.path).read_bytes()
    return LocalPack(name, file.path, len(data), PackReader(data, name).tail())


def content(pack: LocalPack) -> bytes:
    return Path(pack.path).read_bytes()


@pytest.fixture
def packs(tmp_path: Path) -> list[LocalPack]:
    return [make_pack(tmp_path / "made", seed) for seed in range(3)]


@pytest.fixture
def store(place: Place) -> Iterator[BlobStoreBackend]:
    opened = place.open()
    yield opened
    opened.close()


def test_an_empty_place_holds_nothing_and_stays_as_it_is(place: Place, store: BlobStoreBackend, tmp_path: Path) -> None:
    assert store.names() == set()
    assert list(store.tails([])) == []
    assert not (tmp_path / "shelf").exists()


def test_packs_come_back_whole_and_in_pieces(store: BlobStoreBackend, place: Place, packs: list[LocalPack]) -> None:
    store.put(packs)
    again = place.open()
    assert again.names() == store.names() == {pack.name for pack in packs}
    assert dict(again.tails([pack.name for pack in packs])) == {pack.name: pack.tail for pack in packs}
    again.expect([pack.name for pack in packs])
    for pack in packs:
        data = content(pack)
        assert again.get(pack.name, 0, len(data)) == data
        assert again.get(pack.name, 100, 50) == data[100:150]
        assert again.get(pack.name, len(data) - 10, 100) == data[-10:]
        assert again.get(pack.name, len(data) + 5, 10) == b""
    again.close()


def test_a_pack_is_there_once_and_is_put_as_often_as_one_likes(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack]
) -> None:
    store.put(packs[:2])
    place.open().put(packs[:2])
    fresh = place.open()
    fresh.names()
    fresh.put(packs)
    assert place.open().names() == {pack.name for pack in packs}


def test_each_pack_may_go_once_the_next_one_is_asked_for(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack]
) -> None:
    def one_at_a_time() -> Iterator[LocalPack]:
        for pack in packs:
            yield pack
            os.unlink(pack.path)

    whole = {pack.name: content(pack) for pack in packs}
    store.put(one_at_a_time())
    again = place.open()
    assert again.names() == set(whole)
    assert {name: again.get(name, 0, len(data)) for name, data in whole.items()} == whole
    again.close()


def test_bytes_that_are_not_what_they_are_named_by_are_not_taken(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack]
) -> None:
    os.chmod(packs[1].path, 0o644)
    with open(packs[1].path, "r+b") as file:
        file.seek(200)
        file.write(b"\0\0\0\0")
    with pytest.raises(DamagedStore, match="E033"):
        store.put(packs)
    assert packs[1].name not in place.open().names()
    place.open().put([packs[0], packs[2]])
    assert place.open().names() == {packs[0].name, packs[2].name}


def test_what_arrived_before_a_cut_is_there(place: Place, packs: list[LocalPack]) -> None:
    class Cut(Exception):
        pass

    def cut() -> Iterator[LocalPack]:
        yield packs[0]
        raise Cut

    store = place.open()
    with pytest.raises(Cut):
        store.put(cut())
    store.close()
    assert place.open().names() <= {packs[0].name}
    place.open().put(packs)
    assert place.open().names() == {pack.name for pack in packs}


def test_a_pack_without_its_tail_is_not_there_until_it_is_put_again(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack]
) -> None:
    store.put(packs)
    place.lose_tail(packs[0].name)
    again = place.open()
    assert again.names() == {packs[1].name, packs[2].name}
    assert dict(again.tails([packs[0].name])) == {}
    again.put(packs[:1])
    last = place.open()
    assert last.names() == {pack.name for pack in packs}
    assert last.get(packs[0].name, 0, packs[0].size_bytes) == content(packs[0])
    last.close()


def test_what_is_removed_is_gone_and_can_come_again(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack]
) -> None:
    store.put(packs)
    store.remove([packs[0].name])
    again = place.open()
    assert again.names() == {packs[1].name, packs[2].name}
    with pytest.raises(BlobNotFound, match="E051"):
        again.get(packs[0].name, 0, 10)
    again.remove([packs[0].name])
    again.put(packs[:1])
    assert place.open().names() == {pack.name for pack in packs}


def test_a_pack_that_never_was_is_not_found(place: Place, store: BlobStoreBackend, packs: list[LocalPack]) -> None:
    store.put(packs[:1])
    store.names()
    with pytest.raises(BlobNotFound, match="E051"):
        store.get("0" * 64, 0, 10)


def test_many_senders_at_once_lose_nothing(place: Place, tmp_path: Path) -> None:
    shared = [make_pack(tmp_path / "made", seed) for seed in range(4)]
    own = [make_pack(tmp_path / "made", 100 + seed) for seed in range(4)]
    problems: list[BaseException] = []

    def send(number: int) -> None:
        try:
            store = place.open()
            store.put([*shared, own[number]])
            store.close()
        except BaseException as problem:
            problems.append(problem)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert problems == []
    last = place.open()
    assert last.names() == {pack.name for pack in [*shared, *own]}
    for pack in [*shared, *own]:
        assert last.get(pack.name, 0, pack.size_bytes) == content(pack)
    last.close()


def test_a_tail_tells_what_its_pack_holds(place: Place, store: BlobStoreBackend, packs: list[LocalPack]) -> None:
    store.put(packs[:1])
    store.names()
    [(name, data)] = store.tails([packs[0].name])
    tail = Tail(data, name)
    assert tail.bytes == packs[0].size_bytes
    reader = PackReader(content(packs[0]), name)
    assert list(tail.entries()) == list(reader.entries())
    for entry in reader.entries():
        assert tail.find(entry.blob) == entry
    assert tail.find(b"\0" * 32) is None


def test_a_place_of_a_later_gitrun_is_left_alone(place: Place, packs: list[LocalPack]) -> None:
    if not place.mark(encode({"format": 2, "requires": []})):
        pytest.skip("Git says nothing of itself: its objects have their own formats")
    for what in (lambda: place.open().names(), lambda: place.open().put(packs)):
        with pytest.raises(NewerFormat, match="E021"):
            what()
    place.mark(encode({"format": 1, "requires": ["a-feature"]}))
    with pytest.raises(NewerFormat, match="a-feature"):
        place.open().names()
    for nonsense in (b"", b"[]", b'{"format": "1"}', b"\xff" * 100, b"{" * 70000):
        place.mark(nonsense)
        with pytest.raises(DamagedStore, match="E050"):
            place.open().names()


def test_each_has_a_name_without_a_password(store: BlobStoreBackend) -> None:
    assert store.where and "secret" not in store.where


def test_what_cannot_be_reached_says_so(place: Place, tmp_path: Path) -> None:
    from gitrun.remote.stores.opening import open_url

    if place.kind == "directory":
        broken: BlobStoreBackend = open_url(f"file://{tmp_path}/not-mounted/shelf")
    elif place.kind == "s3":
        broken = open_url("s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    else:
        import shutil

        shutil.rmtree(tmp_path / "hub.git")
        broken = place.open()
    with pytest.raises(GitrunError) as told:
        broken.names()
    assert told.value.exit_code == 1 and told.value.next


def test_a_pack_inside_git_is_read_with_git_alone(
    place: Place, store: BlobStoreBackend, packs: list[LocalPack], tmp_path: Path
) -> None:
    import subprocess

    from tests.contract.stores.conftest import InsideGit

    if not isinstance(place, InsideGit):
        pytest.skip("it is a file of its own")
    large = make_pack(tmp_path / "made", 9, blobs=200)
    store.put([large])
    ref = f"refs/gitrun/packs/{large.name}"
    loop = f'for n in $(git ls-tree --name-only {ref}); do git cat-file blob "{ref}:$n"; done'
    done = subprocess.run(["sh", "-c", loop], cwd=place.hub, capture_output=True, check=True)
    assert done.stdout == content(large) and large.size_bytes > 3 * (256 << 10)
    again = place.open()
    again.names()
    assert again.get(large.name, 300_000, 400_000) == content(large)[300_000:700_000]
    again.close()


def test_a_repository_with_sha256_holds_packs_as_well(
    make_repo: Callable[..., Path], packs: list[LocalPack], tmp_path: Path
) -> None:
    from tests.contract.stores.conftest import inside_git
    from tests.hand import Hand

    hand = Hand(make_repo(name="wide", init=["--object-format=sha256"]))
    place = inside_git("git", tmp_path, hand, "--object-format=sha256")
    place.open().put(packs)
    again = place.open()
    assert again.names() == {pack.name for pack in packs}
    assert again.get(packs[0].name, 0, packs[0].size_bytes) == content(packs[0])
    again.close()
