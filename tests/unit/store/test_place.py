import os
import shutil
from pathlib import Path

import pytest

from gitrun.errors import GitrunError
from gitrun.store.blobs import BlobStore
from gitrun.store.collect import Plan, collect
from gitrun.store.config import load_or_create


def put(store: BlobStore, data: bytes) -> str:
    with store.session() as session:
        blob = session.put(data)
        session.commit()
    return blob


def gc(store: BlobStore) -> None:
    collect(store, Plan([], []), set(), lambda: (set(), set()), 0.0)


def test_a_store_lies_elsewhere_and_is_found_without_being_told(tmp_path: Path) -> None:
    blob = put(BlobStore(str(tmp_path / "g"), path=str(tmp_path / "big" / "disk")), b"content")
    assert not (tmp_path / "g" / "store" / "packs").resolve().is_relative_to(tmp_path / "g")
    assert len(list((tmp_path / "big" / "disk").rglob("*.gpk"))) == 1
    store = BlobStore(str(tmp_path / "g"))
    assert store.get(blob) == b"content" and store.has(put(store, b"more"))
    gc(store)


def test_a_store_that_is_made_stays_where_it_is(tmp_path: Path) -> None:
    blob = put(BlobStore(str(tmp_path / "g")), b"content")
    other = BlobStore(str(tmp_path / "g"), path=str(tmp_path / "big"))
    put(other, b"more")
    assert other.get(blob) == b"content" and not (tmp_path / "big").exists()


def test_nothing_stored_places_nothing(tmp_path: Path) -> None:
    with BlobStore(str(tmp_path / "g"), path=str(tmp_path / "big")).session() as session:
        session.commit()
    assert not (tmp_path / "g").exists() and not (tmp_path / "big").exists()


def test_two_archives_below_one_directory_share_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(BlobStore(str(tmp_path / name), path=str(tmp_path / "big")), b"content")
    assert len(list((tmp_path / "big").iterdir())) == 2
    for name in ("one", "two"):
        gc(BlobStore(str(tmp_path / name)))


def test_a_disk_that_is_not_there_is_said(tmp_path: Path) -> None:
    blob = put(BlobStore(str(tmp_path / "g"), path=str(tmp_path / "big")), b"content")
    (tmp_path / "big").rename(tmp_path / "away")
    store = BlobStore(str(tmp_path / "g"))
    for work in (lambda: store.get(blob), lambda: store.has(blob), lambda: put(store, b"more"), lambda: gc(store)):
        with pytest.raises(GitrunError, match="the store is not there"):
            work()
    assert not (tmp_path / "big").exists()


def test_a_copied_repository_keeps_the_original_from_collecting(tmp_path: Path) -> None:
    put(BlobStore(str(tmp_path / "g"), path=str(tmp_path / "big")), b"content")
    shutil.copytree(tmp_path / "g", tmp_path / "copy", symlinks=True)
    put(BlobStore(str(tmp_path / "copy")), b"more")
    for name, other in (("g", "copy"), ("copy", "g")):
        with pytest.raises(GitrunError, match=f"is used by {tmp_path / other} as well"):
            gc(BlobStore(str(tmp_path / name)))
    (tmp_path / "big").joinpath(
        os.listdir(tmp_path / "big")[0], "users", load_or_create(str(tmp_path / "copy")).writer
    ).unlink()
    gc(BlobStore(str(tmp_path / "g")))
