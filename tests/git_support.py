"""Shared by the tests of gitrun.git: both object formats, with and without the git executable."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from gitrun.git.executable import find_git
from gitrun.git.identity import FALLBACK
from gitrun.git.packs import OwnPacks, Pack, PackWriter
from gitrun.git.repository import Repository, discover
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree

both_formats = pytest.mark.parametrize("fmt", ["sha1", "sha256"])
both_ways = pytest.mark.parametrize("way", ["git", "none"])


def git(*args: str | bytes, cwd: Path | str, input: bytes = b"", check: bool = True, **env: str) -> bytes:
    """What the real git says."""
    identity = ["-c", "user.name=T", "-c", "user.email=t@e"]
    environ = {**os.environ, **env}
    done = subprocess.run(["git", *identity, *args], cwd=cwd, input=input, capture_output=True, env=environ)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout


def init(root: Path, fmt: str = "sha1", *words: str) -> Path:
    """A new repository with one commit."""
    root.mkdir(parents=True)
    git("init", "-q", "-b", "main", f"--object-format={fmt}", *words, cwd=root)
    (root / "a.txt").write_text("a\n")
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "first", cwd=root)
    return root


def opened(root: Path | str, way: str = "git", **options: bool) -> Repository:
    """The repository at `root`, with the git executable or without."""
    return discover(str(root), find_git() if way == "git" else None, os.environ, **options)


def add_run(repo: Repository, n: int, *, parent: str | None = None) -> tuple[str, Pack | None]:
    """One commit with a tree of its own, in a pack of its own: (commit, pack)."""
    rnd = random.Random(n)
    writer = PackWriter(repo.objects_dir, repo.object_format, own=OwnPacks(repo.objects_dir, repo.object_format))
    record = writer.add("blob", b"{\n" + b"".join(b' "key%d": %d,\n' % (i, i) for i in range(80)) + b"%d}\n" % n)
    source = writer.add("tree", encode_tree([TreeEntry(b"train.py", FILE, writer.add("blob", b"lr = %d\n" % n))]))
    noise = writer.add("blob", rnd.randbytes(100))
    entries = [
        TreeEntry(b"run.json", FILE, record),
        TreeEntry(b"source", DIRECTORY, source),
        TreeEntry(b"console", FILE, noise),
    ]
    tree = writer.add("tree", encode_tree(entries))
    message = b"run %d\n" % n
    commit = writer.add("commit", encode_commit(tree, [parent] if parent else [], FALLBACK, n, "+0000", message))
    return commit, writer.finish(sync=False)


def run_id(n: int) -> str:
    """A well-formed run id."""
    return f"20261124-061246-{n:06d}"


def fsck(root: Path) -> None:
    """Git itself finds nothing wrong: no missing or broken object, no bad ref, every pack whole."""
    done = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=root, capture_output=True)
    assert done.returncode == 0 and not done.stderr.strip(), (done.stdout + done.stderr).decode()
    for index in sorted((root / ".git/objects/pack").glob("*.idx")):
        git("verify-pack", str(index), cwd=root)
