import hashlib
import os
from pathlib import Path

import pytest

from gitrun.errors import DamagedStore
from gitrun.store import blobs, index, ingest
from gitrun.store.blobs import BlobStore
from gitrun.store.index import Index, Indexed, Table


def name(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def blob(number: int) -> bytes:
    return hashlib.sha256(b"blob %d" % number).digest()


def make(directory: Path, packs: int = 3, each: int = 50) -> Index:
    made = Index(str(directory))
    made.add((Indexed(name(n), 1000 + n), [blob(n * each + k) for k in range(each)]) for n in range(packs))
    return made


def tables(directory: Path) -> list[Path]:
    return sorted(directory.glob("index/*.gpi"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packs and tables that are opened from here on."""
    paths: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: (paths.append(str(path)), real(path, *rest, **more))[1])
    return paths


def test_every_blob_is_found_and_no_other(tmp_path: Path) -> None:
    make(tmp_path)
    again = Index(str(tmp_path))
    assert [again.find(blob(n)) for n in range(150)] == [[Indexed(name(n // 50), 1000 + n // 50)] for n in range(150)]
    assert again.find(blob(-1)) == again.find(bytes(32)) == again.find(b"\xff" * 32) == []
    assert again.covers(name(2)) and not again.covers(name(3))


def test_a_blob_of_several_packs_is_found_in_all(tmp_path: Path) -> None:
    made = Index(str(tmp_path))
    made.add((Indexed(name(n), n), [blob(1), blob(n + 10)]) for n in range(3))
    made.add([(Indexed(name(9), 9), [blob(1)])])
    assert {pack.name for pack in made.find(blob(1))} == {name(n) for n in (0, 1, 2, 9)}


def test_many_tables_become_one_and_lose_the_packs_that_went(tmp_path: Path) -> None:
    made = Index(str(tmp_path))
    for n in range(index.MANY_TABLES + 1):
        made.add([(Indexed(name(n), n), [blob(n)])])
    assert len(tables(tmp_path)) == 1
    assert all(made.find(blob(n)) == [Indexed(name(n), n)] for n in range(index.MANY_TABLES + 1))
    made.compact(lambda pack: pack != name(0))
    assert made.find(blob(0)) == [] and made.find(blob(1)) and not made.covers(name(0))
    made.compact(lambda pack: False)
    assert tables(tmp_path) == [] and made.find(blob(1)) == []


def test_a_damaged_table_is_noticed_wherever_it_is_damaged(tmp_path: Path) -> None:
    """With any byte changed, each question is answered rightly, or the table is no longer believed."""
    make(tmp_path, packs=2, each=4)
    (path,) = tables(tmp_path)
    data = path.read_bytes()
    path.chmod(0o600)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            table = Table(str(path))
        except DamagedStore:
            assert at < 32 + 2 * 40
            continue
        for n in range(-2, 8):
            try:
                assert table.find(blob(n)) == ([Indexed(name(n // 4), 1000 + n // 4)] if n >= 0 else [])
            except DamagedStore:
                pass  # said, not answered wrongly


def test_a_table_cut_off_anywhere_is_none(tmp_path: Path) -> None:
    make(tmp_path, packs=1, each=2)
    (path,) = tables(tmp_path)
    data = path.read_bytes()
    path.chmod(0o600)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedStore):
            Table(str(path))


def fill(store: BlobStore, monkeypatch: pytest.MonkeyPatch, packs: int = 12, each: int = 5) -> list[str]:
    monkeypatch.setattr(ingest, "PACK_BLOBS", each)
    monkeypatch.setattr(blobs, "MANY_PACKS", 4)
    with store.session() as session:
        names = [session.put(b"content %d" % n) for n in range(packs * each)]
        session.commit()
    return names


def test_a_store_of_many_packs_answers_without_opening_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    names = fill(BlobStore(str(tmp_path)), monkeypatch)
    assert len(tables(tmp_path / "store")) == 2
    opened.clear()
    store = BlobStore(str(tmp_path))
    assert opened == []
    assert all(store.has(name) for name in names)
    assert len([path for path in opened if path.endswith(".gpk")]) == 3 * (12 % 5)  # header, trailer, index
    opened.clear()
    assert all(store.has(name) for name in names) and not store.has("0" * 64)
    assert opened == []
    assert [store.get(name) for name in names] == [b"content %d" % n for n in range(60)]


def test_a_store_whose_tables_are_gone_or_damaged_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fill(BlobStore(str(tmp_path)), monkeypatch)
    first, second = tables(tmp_path / "store")
    first.unlink()
    second.chmod(0o600)
    second.write_bytes(second.read_bytes()[:-40] + bytes(40))
    store = BlobStore(str(tmp_path))
    assert [store.get(name) for name in names] == [b"content %d" % n for n in range(60)]
    assert all(store.has(name) for name in names)
    with store.session() as session:
        session.put(b"one more")
        session.commit()
    assert all(Table(str(path)).find(bytes.fromhex(names[0])) for path in tables(tmp_path / "store") if path != second)


def test_a_pack_that_went_or_is_cut_off_does_not_count_as_holding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fill(BlobStore(str(tmp_path)), monkeypatch)
    packs = {pack.stem: pack for pack in (tmp_path / "store" / "packs").rglob("*.gpk")}
    found = Index(str(tmp_path / "store"))
    gone, cut = (found.find(bytes.fromhex(name))[0].name for name in (names[0], names[7]))
    packs[gone].unlink()
    packs[cut].chmod(0o600)
    packs[cut].write_bytes(packs[cut].read_bytes()[:-1])
    store = BlobStore(str(tmp_path))
    assert not store.holds(bytes.fromhex(names[0])) and not store.holds(bytes.fromhex(names[7]))
    with store.session() as session:
        session.put(b"content 0")
        session.commit()
    assert store.get(names[0]) == b"content 0"


def test_where_no_table_can_be_written_packs_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "index").write_bytes(b"in the way")
    names = fill(BlobStore(str(tmp_path)), monkeypatch)
    assert all(BlobStore(str(tmp_path)).has(name) for name in names)
