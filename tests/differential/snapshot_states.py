"""Prepared states of a repository: each a function that is given an empty directory and makes one.

A state returns the paths by which gitrun's tree may differ from `git add -A`, by the defined delta:
`{path: None}` is absent in gitrun's tree, `{path: b"bytes"}` has these bytes there.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.snapshots import git

Delta = dict[bytes, bytes | None]
State = Callable[[Path], Delta | None]

STATES: dict[str, State] = {}


def state(make: State) -> State:
    STATES[make.__name__] = make
    return make


def write(root: Path, path: str | bytes, content: str | bytes = "text\n", mode: int = 0o644) -> None:
    target = os.path.join(os.fsencode(root), os.fsencode(path))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    os.chmod(target, mode)


FILES = {
    "a.py": "print('a')\n",
    "b.txt": "b\n" * 40,
    "dir/c.py": "c\n",
    "dir/sub/d.py": "d\n",
    "dir/sub/deep/e.bin": b"\0\1\2" * 100,
    "other/f": "f\n",
    "other/g": "g\n",
    "z": "z\n",
}


def base(root: Path, *init: str, files: dict[str, str | bytes] | None = None) -> None:
    """A repository with one commit, with an index old enough to prove its files unchanged."""
    subprocess.run(["git", "init", "-q", "-b", "main", *init, str(root)], check=True)
    for path, content in (FILES if files is None else files).items():
        write(root, path, content)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    settle(root)


def settle(root: Path) -> None:
    """Make every file older than the index, as a repository is some time after a commit."""
    for directory, _, names in os.walk(root):
        if ".git" in Path(directory).parts:
            continue
        for name in names:
            os.utime(os.path.join(directory, name), (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    time.sleep(0.01)
    git(root, "update-index", "-q", "--refresh", check=False)


@state
def clean(root: Path) -> None:
    base(root)


@state
def no_commit_yet(root: Path) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    write(root, "a/b")
    write(root, "c")
    git(root, "add", "c")


@state
def empty_repository(root: Path) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)


@state
def modified_staged_and_untracked(root: Path) -> None:
    base(root)
    write(root, "a.py", "print('changed')\n")
    write(root, "dir/sub/d.py", "staged\n")
    git(root, "add", "dir/sub/d.py")
    write(root, "dir/new.py")
    write(root, "fresh/deep/er/file")
    write(root, "staged_new")
    git(root, "add", "staged_new")
    write(root, "staged_then_changed")
    git(root, "add", "staged_then_changed")
    write(root, "staged_then_changed", "again\n")


@state
def deleted_and_renamed(root: Path) -> None:
    base(root)
    (root / "z").unlink()
    git(root, "rm", "-q", "other/f")
    git(root, "mv", "dir/c.py", "moved.py")
    git(root, "rm", "-q", "--cached", "b.txt")


@state
def whole_directory_deleted(root: Path) -> None:
    base(root)
    for path in sorted((root / "dir").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "dir").rmdir()


@state
def all_deleted(root: Path) -> None:
    base(root)
    for path in sorted(root.rglob("*"), reverse=True):
        if ".git" not in path.parts:
            path.rmdir() if path.is_dir() else path.unlink()


@state
def executable_bits(root: Path) -> None:
    base(root)
    (root / "a.py").chmod(0o755)
    write(root, "run.sh", mode=0o744)
    write(root, "group.sh", mode=0o654)


@state
def file_mode_false(root: Path) -> None:
    base(root)
    git(root, "config", "core.fileMode", "false")
    (root / "a.py").chmod(0o755)
    write(root, "run.sh", mode=0o755)
    git(root, "update-index", "--chmod=+x", "z")
    write(root, "z", "changed\n")


@state
def symlinks(root: Path) -> None:
    base(root)
    (root / "to_dir").symlink_to("dir")
    (root / "broken").symlink_to("no where")
    git(root, "add", "broken")
    (root / "broken").unlink()
    (root / "broken").symlink_to("else where")
    (root / "a.py").unlink()
    (root / "a.py").symlink_to("b.txt")


@state
def symlinks_false(root: Path) -> None:
    base(root)
    (root / "link").symlink_to("a.py")
    git(root, "add", "link")
    git(root, "commit", "-q", "-m", "link")
    git(root, "config", "core.symlinks", "false")
    (root / "link").unlink()
    write(root, "link", "b.txt")


@state
def directory_becomes_file(root: Path) -> None:
    base(root)
    git(root, "mv", "dir", "gone")
    git(root, "reset", "-q")
    write(root, "dir", "a file now\n")


@state
def directory_becomes_link(root: Path) -> None:
    base(root)
    os.rename(root / "dir", root / "elsewhere")
    (root / "dir").symlink_to("elsewhere")


@state
def file_becomes_directory(root: Path) -> None:
    base(root)
    (root / "a.py").unlink()
    write(root, "a.py/inside/file")
    (root / "z").unlink()
    (root / "z").symlink_to("dir")


@state
def names_that_sort_oddly(root: Path) -> None:
    base(root, files={"a/x": "1", "a.b": "2", "a-b": "3", "a0": "4", "ab/y": "5"})
    write(root, "a/new")
    write(root, "a+b")
    write(root, "a.b.c/d")


@state
def names_that_are_not_utf8(root: Path) -> None:
    base(root, files={"plain": "1"})
    write(root, b"caf\xe9/\xff\xfe.txt", "latin\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "latin")
    settle(root)
    write(root, b"caf\xe9/\xff\xfe.txt", "changed\n")
    write(root, 'café/ü\n\t"quoted"'.encode())


@state
def long_names(root: Path) -> None:
    deep = "/".join(["d" * 200] * 18) + "/" + "f" * 200
    base(root, files={"short": "s"})
    here = os.getcwd()
    os.chdir(root)
    try:
        write(Path("."), deep, "deep\n")
    finally:
        os.chdir(here)
    git(root, "add", "-A")
    write(root, "n" * 255)


@state
def ignored(root: Path) -> None:
    rules = "*.log\n!keep.log\n/build/\nnode_modules\ndocs/*.html\n**/cache/\n!dir/cache/\n"
    base(root, files={**FILES, ".gitignore": rules, "build/tracked": "t", "node_modules/x/tracked": "t"})
    git(root, "add", "-f", "build/tracked", "node_modules/x/tracked")
    git(root, "commit", "-q", "-m", "tracked in ignored directories")
    settle(root)
    for path in ("x.log", "keep.log", "dir/y.log", "build/new", "src/build/kept", "docs/a.html", "docs/b/a.html"):
        write(root, path)
    for path in ("dir/cache/x", "dir/cache/x.log", "cache/y", "node_modules/x/new", "node_modules/keep.log"):
        write(root, path)
    write(root, "build/tracked", "changed\n")
    write(root, "node_modules/x/tracked", "changed\n")
    write(root, "dir/.gitignore", "!y.log\n/c.py\nsub\n")
    write(root, "dir/sub/untracked")


@state
def ignored_by_info_and_user(root: Path) -> None:
    base(root)
    write(root, ".git/info/exclude", "secret/\n!x.tmp\n")
    write(root, ".git/user_ignore", "*.tmp\n*.swp\n")
    git(root, "config", "core.excludesFile", str(root / ".git/user_ignore"))
    for path in ("secret/a", "x.tmp", "y.tmp", "dir/z.swp", "kept"):
        write(root, path)


@state
def ignored_by_default_user_file(root: Path) -> None:
    base(root)
    write(Path(os.environ["XDG_CONFIG_HOME"]), "git/ignore", "*.tmp\n")
    write(root, "y.tmp")
    write(root, "kept")


@state
def intent_to_add(root: Path) -> None:
    base(root)
    write(root, "planned", "content\n")
    write(root, "planned_and_gone")
    write(root, "empty", "")
    git(root, "add", "-N", "planned", "planned_and_gone", "empty")
    (root / "planned_and_gone").unlink()


@state
def merge_conflict(root: Path) -> None:
    base(root)
    git(root, "checkout", "-q", "-b", "side")
    write(root, "a.py", "side\n")
    write(root, "z", "side\n")
    write(root, "both", "side\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "side")
    git(root, "checkout", "-q", "main")
    write(root, "a.py", "main\n")
    write(root, "both", "main\n")
    git(root, "rm", "-q", "z")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "main")
    git(root, "merge", "-q", "side", check=False)
    (root / "both").unlink()


@state
def racy(root: Path) -> None:
    base(root)
    write(root, "a.py", "print('x')\n")
    git(root, "add", "a.py")
    before = os.stat(root / "a.py")
    with open(root / "a.py", "r+b") as file:  # the same size, the same inode
        file.write(b"print('y')\n")
    os.utime(root / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    index = os.stat(root / ".git/index")
    os.utime(root / ".git/index", ns=(index.st_atime_ns, before.st_mtime_ns))


@state
def touched_only(root: Path) -> None:
    base(root)
    for name in FILES:
        os.utime(root / name)


@state
def index_version_4(root: Path) -> None:
    base(root)
    git(root, "update-index", "--index-version", "4")
    write(root, "dir/sub/new")
    write(root, "dir/sub/d.py", "changed\n")


@state
def untracked_cache_and_monitor(root: Path) -> None:
    base(root)
    git(root, "update-index", "--force-untracked-cache")
    git(root, "status")
    write(root, "dir/sub/new")


@state
def assume_unchanged(root: Path) -> Delta:
    base(root)
    git(root, "update-index", "--assume-unchanged", "a.py", "z", "b.txt")
    write(root, "a.py", "edited\n")
    (root / "z").unlink()
    return {b"a.py": b"edited\n", b"z": None}


@state
def skip_worktree(root: Path) -> Delta:
    base(root)
    git(root, "update-index", "--skip-worktree", "a.py", "z")
    write(root, "a.py", "edited\n")
    (root / "z").unlink()
    return {b"a.py": b"edited\n", b"z": None}


@state
def sparse_checkout(root: Path) -> Delta:
    base(root)
    git(root, "sparse-checkout", "set", "--cone", "other")
    write(root, "dir/untracked", "outside the cone\n")
    write(root, "other/f", "changed\n")
    gone: Delta = {b"dir/c.py": None, b"dir/sub/d.py": None, b"dir/sub/deep/e.bin": None}
    return {**gone, b"dir/untracked": b"outside the cone\n"}


@state
def sparse_index(root: Path) -> Delta:
    base(root)
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "other")
    write(root, "other/f", "changed\n")
    return {b"dir/c.py": None, b"dir/sub/d.py": None, b"dir/sub/deep/e.bin": None}


@state
def split_index(root: Path) -> None:
    base(root)
    git(root, "update-index", "--split-index")
    write(root, "a.py", "changed\n")
    git(root, "add", "a.py")
    write(root, "new")


@state
def sha256(root: Path) -> None:
    base(root, "--object-format=sha256")
    write(root, "a.py", "changed\n")
    write(root, "new/file")


@state
def detached_and_reset_softly(root: Path) -> None:
    base(root)
    write(root, "dir/sub/d.py", "second\n")
    git(root, "commit", "-q", "-a", "-m", "second")
    git(root, "checkout", "-q", "--detach")
    git(root, "reset", "-q", "--soft", "HEAD~1")


@state
def submodule_moved(root: Path) -> None:
    inner = root.parent / "library"
    base(inner, files={"lib.py": "1\n"})
    base(root)
    git(root, "submodule", "--quiet", "add", str(inner), "vendor/library")
    git(root, "commit", "-q", "-m", "submodule")
    write(root, "vendor/library/lib.py", "2\n")
    git(root / "vendor/library", "commit", "-q", "-a", "-m", "moved")
    write(root, "vendor/library/lib.py", "dirty\n")


@state
def submodule_not_initialised(root: Path) -> None:
    inner = root.parent / "library"
    base(inner, files={"lib.py": "1\n"})
    base(root)
    git(root, "submodule", "--quiet", "add", str(inner), "vendor/library")
    git(root, "commit", "-q", "-m", "submodule")
    git(root, "submodule", "--quiet", "deinit", "-f", "vendor/library")


@state
def submodule_directory_deleted(root: Path) -> None:
    inner = root.parent / "library"
    base(inner, files={"lib.py": "1\n"})
    base(root)
    git(root, "submodule", "--quiet", "add", str(inner), "library")
    git(root, "commit", "-q", "-m", "submodule")
    git(root, "submodule", "--quiet", "deinit", "-f", "library")
    (root / "library").rmdir()


@state
def embedded_clone(root: Path) -> None:
    base(root)
    base(root / "clone", files={"x": "1\n"})
    write(root, "clone/untracked")
    write(root, "broken/.git", "gitdir: nowhere\n")
    write(root, "broken/file")


@state
def nothing_but_special_files(root: Path) -> None:
    base(root)
    os.mkfifo(root / "fifo")
    (root / "empty/deep").mkdir(parents=True)


@state
def line_ends(root: Path) -> None:
    base(root, files={**FILES, ".gitattributes": "* text=auto\n*.bat eol=crlf\n*.raw -text\n", "x.bat": "1\n2\n"})
    write(root, "new.txt", "one\r\ntwo\r\n")
    write(root, "a.py", "print('a')\r\n")
    write(root, "b.bat", "1\r\n")
    write(root, "c.raw", "1\r\n")
    write(root, "binary", b"\0\r\n")


@state
def line_ends_kept_in_the_index(root: Path) -> None:
    base(root, files={"dos.txt": "one\r\ntwo\r\n"})
    git(root, "config", "core.autocrlf", "input")
    write(root, "dos.txt", "one\r\ntwo\r\nthree\r\n")
    write(root, "new.txt", "one\r\n")


@state
def filters(root: Path) -> None:
    base(root, files={**FILES, ".gitattributes": "*.up filter=up\n*.id ident\n*.u16 working-tree-encoding=UTF-16\n"})
    git(root, "config", "filter.up.clean", "tr a-z A-Z")
    git(root, "config", "filter.up.smudge", "tr A-Z a-z")
    write(root, "x.up", "lower\n")
    write(root, "x.id", "$Id: 1234 $\n")
    write(root, "x.u16", "text\n".encode("utf-16"))


@state
def filter_that_is_checked_out(root: Path) -> None:
    base(root, files={".gitattributes": "*.up filter=up\n"})
    git(root, "config", "filter.up.clean", "tr a-z A-Z")
    write(root, "x.up", "lower\n")
    write(root, "y.up", "UPPER\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "filtered")
    settle(root)


@state
def attributes_that_are_ignored(root: Path) -> None:
    base(root)
    write(root, ".git/info/exclude", ".gitattributes\n")
    write(root, "dir/.gitattributes", "*.txt text\n")
    write(root, "dir/new.txt", "one\r\n")
    write(root, "new.txt", "one\r\n")
