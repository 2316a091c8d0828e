"""The tree of a snapshot is git's on generated repositories: files, ignore rules, staged and unstaged edits."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitrun.errors import DamagedRepository, UnsupportedRepository
from gitrun.git.index import mode_of, oid_of, read_index
from tests.snapshots import files_of, git, gits_tree, is_complete, snapshot

COMPONENTS = [b"a", b"b", b"a.b", b"a-", b"dir", b"x.log", b"\xff", b"build"]
places = st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=3).map(b"/".join)
contents = st.sampled_from([b"", b"1\n", b"2\n", b"longer\n" * 9])
IGNORES = [b"*.log", b"!x.log", b"build/", b"/dir", b"dir/*", b"!dir/a", b"a/**/b", b"?.b"]

edits = st.one_of(
    st.tuples(st.just("write"), places, contents),
    st.tuples(st.just("link"), places, contents),
    st.tuples(st.just("remove"), places, contents),
    st.tuples(st.just("chmod"), places, contents),
    st.tuples(st.just("ignore"), places, st.lists(st.sampled_from(IGNORES), max_size=3).map(b"\n".join)),
    st.tuples(st.just("add"), places, contents),
    st.tuples(st.just("add -A"), places, contents),
    st.tuples(st.just("unstage"), places, contents),
    st.tuples(st.just("commit"), places, contents),
    st.tuples(st.just("old"), places, contents),
)


def apply(root: Path, kind: str, place: bytes, content: bytes) -> None:
    """Do one thing to a repository; what cannot be done is not."""
    path = os.path.join(os.fsencode(root), place)
    try:
        if kind in ("write", "link", "ignore"):
            target = os.path.join(os.path.dirname(path), b".gitignore") if kind == "ignore" else path
            if os.path.isdir(target) and not os.path.islink(target):
                shutil.rmtree(target)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.lexists(target):
                os.unlink(target)
            if kind == "link":
                os.symlink(content or b"nowhere", target)
            else:
                with open(target, "wb") as file:
                    file.write(content)
        elif kind == "remove":
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        elif kind == "chmod" and os.path.isfile(path) and not os.path.islink(path):
            os.chmod(path, os.stat(path).st_mode ^ 0o100)
        elif kind == "old":
            os.utime(os.path.join(os.fsencode(root), b".git/index"))
    except OSError:
        return  # a file is where this needs a directory, or there is nothing
    if kind == "add":
        git(root, "add", "--force", "--", b":(literal)" + place, check=False)
    elif kind == "add -A":
        git(root, "add", "-A", check=False)
    elif kind == "unstage":
        git(root, "rm", "-q", "-r", "--cached", "--", b":(literal)" + place, check=False)
    elif kind == "commit":
        git(root, "commit", "-q", "-m", "more", check=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(edits, min_size=3, max_size=25), without_git=st.booleans())
def test_the_tree_is_gits(steps: list[tuple[str, bytes, bytes]], without_git: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "repo"
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        for step in steps:
            apply(root, *step)
        taken = snapshot(root, without_git=without_git)
        tree = gits_tree(root)
        assert files_of(root, taken.tree) == files_of(root, tree)
        assert taken.tree == tree
        assert is_complete(root, taken.commit)
        assert taken.source["dirty"] == bool(git(root, "status", "--porcelain", "-uall"))
        assert listed(taken.source) == status(root)


def listed(source: dict[str, list[str]]) -> dict[str, set[bytes]]:
    keys = ("modified", "deleted", "untracked", "index_tracked_new", "removed_from_index")
    return {key: {os.fsencode(path) for path in source[key]} for key in keys}


def status(root: Path) -> dict[str, set[bytes]]:
    """The same lists, made from what git says about HEAD, its index and the worktree."""
    lines = {key: set() for key in ("modified", "deleted", "untracked", "index_tracked_new", "removed_from_index")}
    head = git(root, "rev-parse", "-q", "--verify", "HEAD^{tree}", check=False).decode().strip()
    committed = files_of(root, head) if head else {}
    indexed = {line.partition(b"\t")[2] for line in git(root, "ls-files", "-s", "-z").split(b"\0") if line}
    now = files_of(root, gits_tree(root))
    lines["modified"] = {path for path in committed.keys() & now.keys() if committed[path] != now[path]}
    lines["deleted"] = committed.keys() - now.keys()
    lines["untracked"] = now.keys() - indexed
    lines["index_tracked_new"] = indexed - committed.keys()
    lines["removed_from_index"] = committed.keys() - indexed
    return {key: set(value) for key, value in lines.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 200), version=st.sampled_from([2, 3, 4]))
def test_a_damaged_index_is_refused_or_read(at: int, byte: int, cut: int, version: int, tmp_path: Path) -> None:
    path = tmp_path / f"index{version}"
    if not path.exists():
        root = tmp_path / f"repo{version}"
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        for name in ("a", "b/c", "b/d/e", "f" * 100):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        git(root, "add", "-A")
        git(root, "add", "-N", "a")
        git(root, "write-tree")
        git(root, "update-index", "--index-version", str(version))
        shutil.copy(root / ".git/index", path)
        assert set(read_index(str(path), "sha1").files) == {b"", b"b/", b"b/d/"}
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data[: len(data) - cut] if cut < 50 else data)
    try:
        read_index(str(damaged), "sha1")
    except (DamagedRepository, UnsupportedRepository):
        pass  # refused in so many words, as it should be


@pytest.mark.parametrize("fmt", ["sha1", "sha256"])
@pytest.mark.parametrize("version", ["2", "4"])
def test_an_index_is_read_as_git_reads_it(fmt: str, version: str, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", f"--object-format={fmt}", str(root)], check=True)
    for name in ("a", "b/c", "b/d/e", "b/d/ff", "n" * 200, "z/y/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    git(root, "update-index", "--index-version", version)
    git(root, "update-index", "--skip-worktree", "a")
    index = read_index(str(root / ".git/index"), fmt)
    found = {
        directory + name: b"%o %b 0" % (mode_of(entry), oid_of(entry).hex().encode())
        for directory, files in index.files.items()
        for name, entry in files.items()
    }
    lines = [line.partition(b"\t") for line in git(root, "ls-files", "-s", "-z").split(b"\0") if line]
    assert found == {path: facts for facts, _, path in lines}
    assert index.extended == {b"a": 0x4000}
    trees = {
        directory: git(root, "rev-parse", f"HEAD:{os.fsdecode(directory)}").decode().strip()
        for directory in index.trees
    }
    assert {directory: oid.hex() for directory, oid in index.trees.items()} == trees
    assert index.below == {b"": {b"b", b"z"}, b"b/": {b"d"}, b"z/": {b"y"}}
