"""A checkout gives back bytes, modes, links and Git's answers, and leaves nothing when it fails.

The sources here are made with git's own plumbing, so that these tests stand without the recorder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.errors import BlobNotFound, DamagedRecord, DestinationExists, DiskFull, GitrunError, HostilePath
from gitrun.model.canonical import path_text
from gitrun.monitor import Monitor
from gitrun.replay.checkout import checkout
from gitrun.replay.plan import Addition
from gitrun.replay.source import Source, make_source
from tests.conftest import Result, write_files

WHEN = "2026-01-02T03:04:05.678901Z"
WHEN_NS = 1767323045678901000
Git = Callable[..., Result]


class Heard(Monitor):
    """Remembers the codes of warnings."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.codes.append(code)


@pytest.fixture(params=["git", "no-git"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    return {**os.environ, **({"GITRUN_GIT_EXECUTABLE": "none"} if request.param == "no-git" else {})}


def frozen(repo: Path, git: Git, extra: list[dict[str, Any]] | None = None, **facts: Any) -> Source:
    """The working tree as `git add -A` would store it, with the facts `git status` gives."""
    index = repo / ".git" / "frozen-index"
    if (repo / ".git" / "index").exists():
        index.write_bytes((repo / ".git" / "index").read_bytes())
    env = {"GIT_INDEX_FILE": str(index)}
    git("add", "-A", cwd=repo, env=env)
    tree = git("write-tree", cwd=repo, env=env).stdout.strip()
    head = git("rev-parse", "-q", "--verify", "HEAD", cwd=repo, check=False).stdout.strip() or None
    branch = git("symbolic-ref", "-q", "HEAD", cwd=repo, check=False).stdout.strip() or None
    tracked = listed(git("ls-files", "-z", cwd=repo))
    committed = listed(git("ls-tree", "-rz", "--name-only", "HEAD", cwd=repo)) if head else set()
    others = listed(git("ls-files", "-zo", "--exclude-standard", cwd=repo))
    known: dict[str, Any] = {
        "tree": tree,
        "base": head,
        "branch": branch,
        "detached": branch is None,
        "untracked": [path_text(path) for path in sorted(others)],
        "deleted": [path_text(path) for path in sorted(listed(git("ls-files", "-zd", cwd=repo)))],
        "removed_from_index": [path_text(path) for path in sorted(committed - tracked)],
    }
    return make_source("run x", {**known, **facts}, extra or [], WHEN, None)


def beside(path: str, blob: str, size: int) -> dict[str, Any]:
    return {"path": path, "mode": 0o100644, "bytes": size, "sha256": blob, "reason": "raw", "chunks": [[blob, size]]}


def listed(result: Result) -> set[bytes]:
    return set(result.stdout_bytes.split(b"\0")[:-1])


def snapshot_of(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory but .git: kind and permissions, and bytes or target."""
    found = {}
    for parent, directories, files in os.walk(os.fsencode(root)):
        if b".git" in directories:
            directories.remove(b".git")
        for name in [*directories, *files]:
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode):
                content = os.readlink(path)
            else:
                content = b"" if stat.S_ISDIR(facts.st_mode) else Path(os.fsdecode(path)).read_bytes()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(root)))] = (facts.st_mode, content)
    return found


@pytest.fixture
def busy_repo(make_repo: Callable[..., Path], git: Git) -> Path:
    """Uncommitted, staged, deleted, renamed, untracked, executable, linked, binary and oddly named."""
    repo = make_repo(
        {
            "edited": "one\n",
            "deleted": "x",
            "unstaged/deep/f": "y",
            "removed": "z",
            "renamed": "same content that is long enough",
            "bin": b"\0\xff" * 1000,
            "tool": "#!/bin/sh\n",
            b"caf\xe9": "latin",
            "link": Path("edited"),
            "was_dir/f": "1",
            "was_file": "2",
        }
    )
    git("tag", "-a", "v1.0", "-m", "release", cwd=repo)
    git("remote", "add", "origin", "https://example.org/x.git", cwd=repo)
    (repo / "tool").chmod(0o755)
    (repo / "edited").write_text("two\n")
    (repo / "deleted").unlink()
    git("rm", "-q", "--cached", "unstaged/deep/f", cwd=repo)
    git("rm", "-q", "removed", cwd=repo)
    git("mv", "renamed", "renamed-to", cwd=repo)
    git("rm", "-rq", "was_dir", "was_file", cwd=repo)
    write_files(repo, {"was_dir": "a file now", "was_file/f": "a directory now", "new": "untracked", "staged": "s"})
    os.symlink("/nowhere/at/all", repo / "dangling")
    git("add", "staged", "was_dir", "was_file", cwd=repo)
    return repo


def test_files_come_back_byte_for_byte(busy_repo: Path, git: Git, environ: dict[str, str], tmp_path: Path) -> None:
    (busy_repo / "empty" / "inner").mkdir(parents=True)
    source = frozen(busy_repo, git, empty_directories=["empty/inner"])
    before = snapshot_of(busy_repo)
    with Archive.open(str(busy_repo), environ) as archive:
        made = checkout(archive, source, str(tmp_path / "out"))
    assert snapshot_of(tmp_path / "out") == before
    assert made.directory == str(tmp_path / "out")
    assert not list(tmp_path.glob(".*gitrun-tmp"))


def test_every_mtime_is_the_recorded_time(busy_repo: Path, git: Git, environ: dict[str, str], tmp_path: Path) -> None:
    source = frozen(busy_repo, git)
    with Archive.open(str(busy_repo), environ) as archive:
        checkout(archive, source, str(tmp_path / "out"))
    for name in ["", *snapshot_of(tmp_path / "out")]:
        assert os.lstat(tmp_path / "out" / name).st_mtime_ns == WHEN_NS, name


def test_git_gives_the_same_answers(busy_repo: Path, git: Git, environ: dict[str, str], tmp_path: Path) -> None:
    source = frozen(busy_repo, git, remotes={"origin": "https://example.org/x.git"})
    with Archive.open(str(busy_repo), environ) as archive:
        checkout(archive, source, str(tmp_path / "out"))
    for question in (
        ["status", "--porcelain=v1", "--no-renames"],
        ["diff", "HEAD"],
        ["describe", "--dirty", "--tags"],
        ["rev-parse", "HEAD", "--abbrev-ref", "HEAD"],
        ["remote", "-v"],
        ["ls-files"],
        ["log", "--oneline"],
    ):
        assert git(*question, cwd=tmp_path / "out").stdout == git(*question, cwd=busy_repo).stdout, question
    assert git("fsck", "--connectivity-only", cwd=tmp_path / "out").code == 0


def test_a_clean_tree_is_clean_without_reading_a_file(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]
) -> None:
    repo = make_repo({f"f{n}": str(n) for n in range(20)})
    with Archive.open(str(repo), environ) as archive:
        checkout(archive, frozen(repo, git), str(tmp_path / "out"))
    stale = git("diff-files", cwd=tmp_path / "out").stdout  # plumbing compares stat alone
    assert stale == ""
    assert git("describe", "--always", "--dirty", cwd=tmp_path / "out").stdout.strip().endswith("-dirty") is False


def test_a_detached_head_and_no_commit_yet(make_repo: Callable[..., Path], git: Git, tmp_path: Path) -> None:
    repo = make_repo()
    git("checkout", "-q", "--detach", cwd=repo)
    unborn = make_repo({"a": "b"}, name="unborn", commit=False)
    for root, out in ((repo, tmp_path / "one"), (unborn, tmp_path / "two")):
        with Archive.open(str(root), dict(os.environ)) as archive:
            checkout(archive, frozen(root, git), str(out))
        for question in ("status --porcelain", "symbolic-ref -q HEAD", "rev-parse -q --verify HEAD"):
            words = question.split()
            assert git(*words, cwd=out, check=False).stdout == git(*words, cwd=root, check=False).stdout


def test_bytes_beside_the_tree_win_and_git_still_calls_them_clean(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]
) -> None:
    repo = make_repo({"crlf.txt": "one\ntwo\n", "big": "pointer", ".gitattributes": "*.txt text\n"})
    with Archive.open(str(repo), environ) as archive:
        contents = {"crlf.txt": b"one\r\ntwo\r\n", "untracked-large": b"L" * 3000}
        extra = []
        with archive.store.session() as session:
            for name, data in contents.items():
                extra.append(beside(name, session.put(data), len(data)))
            session.commit()
            checkout(archive, frozen(repo, git, extra), str(tmp_path / "out"))
    for name, data in contents.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == "?? untracked-large\n"


def test_roots_go_to_their_places(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]
) -> None:
    repo = make_repo({"main.py": "import sub\n"})
    inner = make_repo({"f": "inner"}, name="repo/embedded")
    (inner / "f").write_text("edited inside")
    commit = git("rev-parse", "HEAD", cwd=inner).stdout.strip()
    other = make_repo({"lib.py": "outside"}, name="outside")
    trees = {}
    for name, root in (("embedded", inner), ("outside", other)):
        git("add", "-A", cwd=root)
        trees[name] = git("write-tree", cwd=root).stdout.strip()
        listing = git("ls-tree", "-r", trees[name], cwd=root).stdout.split()
        pack = git("pack-objects", "--stdout", cwd=root, input=f"{trees[name]}\n{listing[2]}\n").stdout_bytes
        git("index-pack", "--stdin", cwd=repo, input=pack)
    roots = [
        {"n": 1, "path": "embedded", "tree": trees["embedded"], "commit": commit},
        {"n": 2, "path": str(other), "tree": trees["outside"], "commit": None},
    ]
    with Archive.open(str(repo), environ) as archive:
        made = checkout(archive, frozen(repo, git, roots=roots), str(tmp_path / "out"))
    assert (tmp_path / "out" / "embedded" / "f").read_text() == "edited inside"
    assert made.roots == {2: str(tmp_path / "out.roots" / "2")}
    assert (tmp_path / "out.roots" / "2" / "lib.py").read_text() == "outside"
    assert git("rev-parse", "HEAD", cwd=tmp_path / "out" / "embedded").stdout.strip() == commit
    assert git("status", "--porcelain", cwd=tmp_path / "out" / "embedded").stdout == " M f\n"


def test_a_submodule_without_files_is_an_empty_directory_and_said_so(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path
) -> None:
    repo = make_repo()
    git("update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},sub", cwd=repo)
    git("commit", "-qm", "a gitlink", cwd=repo)
    (repo / "sub").mkdir()
    heard = Heard()
    with Archive.open(str(repo), dict(os.environ)) as archive:
        checkout(archive, frozen(repo, git), str(tmp_path / "out"), heard)
    assert os.listdir(tmp_path / "out" / "sub") == []
    assert heard.codes == ["W030"]
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == ""


def test_nothing_is_overwritten(make_repo: Callable[..., Path], git: Git, tmp_path: Path) -> None:
    repo = make_repo()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    with Archive.open(str(repo), dict(os.environ)) as archive:
        for name in ("full", "file", "link"):
            with pytest.raises(DestinationExists):
                checkout(archive, frozen(repo, git), str(tmp_path / name))
    assert snapshot_of(tmp_path / "full").keys() == {"mine"}
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_directory_is_filled_where_it_is(make_repo: Callable[..., Path], git: Git, tmp_path: Path) -> None:
    repo = make_repo()
    (tmp_path / "out").mkdir()
    inode = os.stat(tmp_path / "out").st_ino
    with Archive.open(str(repo), dict(os.environ)) as archive:
        checkout(archive, frozen(repo, git), str(tmp_path / "out"))
    assert os.stat(tmp_path / "out").st_ino == inode
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == ""


@pytest.fixture(params=["new", "empty"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A place for a checkout that fails; nothing of it may be left."""
    place = tmp_path / "place" / "out"
    place.parent.mkdir()
    if request.param == "empty":
        place.mkdir()
    yield place
    assert os.listdir(place.parent) == ([] if request.param == "new" else ["out"])
    assert request.param == "new" or os.listdir(place) == []


def test_a_missing_object_is_named_by_its_path(
    make_repo: Callable[..., Path], git: Git, destination: Path, environ: dict[str, str]
) -> None:
    repo = make_repo({"a": "a", "b/gone": "only here", "c": "c"})
    source = frozen(repo, git)
    oid = git("rev-parse", "HEAD:b/gone", cwd=repo).stdout.strip()
    (repo / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with Archive.open(str(repo), environ) as archive, pytest.raises(DamagedRecord, match="b/gone"):
        checkout(archive, source, str(destination))


def test_a_missing_blob_is_one_clear_error(make_repo: Callable[..., Path], git: Git, destination: Path) -> None:
    repo = make_repo()
    extra = [beside("x", "0" * 64, 1)]
    with Archive.open(str(repo), dict(os.environ)) as archive, pytest.raises(BlobNotFound):
        checkout(archive, frozen(repo, git, extra), str(destination))


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_nothing(
    make_repo: Callable[..., Path], git: Git, destination: Path, failure: BaseException
) -> None:
    repo = make_repo({"a": "a", "b": "b"})

    def broken() -> Iterator[bytes]:
        yield b"some"
        raise failure

    additions = [Addition(b"more/added", 0o644, broken())]
    expected = DiskFull if isinstance(failure, OSError) else KeyboardInterrupt
    with Archive.open(str(repo), dict(os.environ)) as archive, pytest.raises(expected):
        checkout(archive, frozen(repo, git), str(destination), additions=additions)


def test_a_failure_after_the_files_leaves_nothing(make_repo: Callable[..., Path], git: Git, destination: Path) -> None:
    repo = make_repo()
    with Archive.open(str(repo), dict(os.environ)) as archive, pytest.raises(GitrunError, match="not a branch"):
        checkout(archive, frozen(repo, git, branch="x\ny"), str(destination))


def test_a_hostile_tree_is_refused_before_anything_is_written(
    make_repo: Callable[..., Path], git: Git, destination: Path, environ: dict[str, str]
) -> None:
    repo = make_repo()
    blob = git("rev-parse", "HEAD:train.py", cwd=repo).stdout.strip()
    entry = b"100644 .git\0" + bytes.fromhex(blob)
    tree = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", cwd=repo, input=entry).stdout.strip()
    with Archive.open(str(repo), environ) as archive, pytest.raises(HostilePath):
        checkout(archive, make_source("run x", {"tree": tree}, [], WHEN, None), str(destination))


def test_an_archive_without_the_base_says_so(make_repo: Callable[..., Path], git: Git, tmp_path: Path) -> None:
    repo = make_repo()
    heard = Heard()
    with Archive.open(str(repo), dict(os.environ)) as archive:
        checkout(archive, frozen(repo, git, base="ab" * 20, branch="topic"), str(tmp_path / "out"), heard)
    assert heard.codes == ["W032"]
    assert git("symbolic-ref", "HEAD", cwd=tmp_path / "out").stdout.strip() == "refs/heads/topic"
    assert git("status", "--porcelain", cwd=tmp_path / "out").code == 0


def test_a_sha256_repository(make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]) -> None:
    repo = make_repo(init=["--object-format=sha256"])
    (repo / "train.py").write_text("edited")
    with Archive.open(str(repo), environ) as archive:
        checkout(archive, frozen(repo, git), str(tmp_path / "out"))
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == " M train.py\n"


def test_modes_that_git_was_told_not_to_look_at_come_back(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]
) -> None:
    repo = make_repo({"tool.sh": "#!/bin/sh\n", "link": Path("tool.sh")})
    git("config", "core.fileMode", "false", cwd=repo)
    git("config", "core.symlinks", "false", cwd=repo)
    delta = [
        {"path": "link", "kind": "file for link", "mode": "100644"},
        {"path": "tool.sh", "kind": "mode", "mode": "100755"},
    ]
    source = frozen(repo, git, delta=delta)
    with Archive.open(str(repo), environ) as archive:
        out = Path(checkout(archive, source, str(tmp_path / "out")).directory)
    assert os.access(out / "tool.sh", os.X_OK)
    assert not (out / "link").is_symlink() and (out / "link").read_text() == "tool.sh"
    assert git("status", "--porcelain", cwd=out).stdout == ""


def test_a_large_file_staged_as_new_is_tracked(
    make_repo: Callable[..., Path], git: Git, tmp_path: Path, environ: dict[str, str]
) -> None:
    repo = make_repo()
    git("tag", "v1", cwd=repo)
    with Archive.open(str(repo), environ) as archive:
        with archive.store.session() as session:
            extra = [beside("w.bin", session.put(b"L" * 3000), 3000)]
            session.commit()
        checkout(archive, frozen(repo, git, extra, index_tracked_new=["w.bin"]), str(tmp_path / "out"))
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == " A w.bin\n"
    assert git("describe", "--tags", "--dirty", cwd=tmp_path / "out").stdout == "v1-dirty\n"
