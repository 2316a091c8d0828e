"""Taking a snapshot in a test, and asking real git what it should be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gitrun.capture.snapshot import Snapshot, take_snapshot
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.monitor import SILENT, Monitor
from gitrun.settings import load
from gitrun.store.blobs import BlobStore
from tests.conftest import AUTHOR, QUIET_GIT


def git(root: Path, *args: str | bytes, check: bool = True, env: dict[str, str] | None = None) -> bytes:
    """What real git says on stdout."""
    command = ["git", "-C", str(root), *AUTHOR, *QUIET_GIT, *args]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **(env or {})})
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def snapshot(
    root: Path,
    *,
    without_git: bool = False,
    archive: Path | None = None,
    flags: dict[str, str] | None = None,
    monitor: Monitor = SILENT,
) -> Snapshot:
    """A snapshot of the worktree around `root` into its own repository, or into that of `archive`."""
    environ = dict(os.environ)
    if without_git:
        environ["GITRUN_GIT_EXECUTABLE"] = "none"
    executable = find_git(environ)
    repo = discover(str(root), executable, environ)
    into = repo if archive is None else discover(str(archive), executable, environ)
    settings = load(repo.worktree, repo.config, environ, flags)
    store = store_of(archive or root)
    return take_snapshot(repo, into, lambda: store, settings, monitor, environ=environ)


def store_of(root: Path) -> BlobStore:
    """The store of the archive around `root`."""
    repo = discover(str(root), find_git(), os.environ)
    return BlobStore(repo.gitrun_dir(os.environ))


def gits_tree(root: Path) -> str:
    """What `git add -A` and `git write-tree` say, on a private copy of the index."""
    private = root.parent / f"private-index-{root.name}"
    env = {"GIT_INDEX_FILE": str(private)}
    index = Path(git(root, "rev-parse", "--absolute-git-dir").decode().strip()) / "index"
    if index.exists():
        shutil.copy2(index, private)
    git(root, "add", "-A", env=env, check=False)  # it complains about paths outside a sparse cone, and goes on
    tree = git(root, "write-tree", env=env).decode().strip()
    private.unlink(missing_ok=True)
    return tree


def files_of(root: Path, tree: str) -> dict[bytes, bytes]:
    """Path to "mode type oid" of every file below a tree."""
    lines = git(root, "ls-tree", "-r", "-z", tree).split(b"\0")
    return {line.partition(b"\t")[2]: line.partition(b"\t")[0] for line in lines if line}


def content(root: Path, tree: str, path: str) -> bytes:
    """The bytes of a file of a tree."""
    return git(root, "cat-file", "blob", f"{tree}:{path}")


def is_complete(root: Path, *tops: str) -> bool:
    """Whether every object that these commits and trees need is there."""
    return b"?" not in git(root, "rev-list", "--objects", "--missing=print", *tops)
