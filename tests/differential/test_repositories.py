"""Discovery, configuration and reading without git give what git gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitrun.errors import GitrunError, NotARepository, UnsafeRepository, UnsupportedRepository
from gitrun.git import discovery
from gitrun.git.configfile import read_config
from gitrun.git.diff import tree_diff
from gitrun.git.executable import find_git
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.repository import Repository, archive_of, discover
from gitrun.git.trees import DIRECTORY, read_tree
from tests.git_support import both_formats, both_ways, git, init, opened


def _places(repo: Repository) -> tuple[str | None, str, str, str, str, bool]:
    where = (repo.worktree, repo.git_dir, repo.common_dir, repo.objects_dir)
    return (*where, repo.object_format, repo.is_shallow)


def _both(start: Path | str, environ: dict[str, str] | None = None, **options: bool) -> list[Repository]:
    return [discover(str(start), way, environ or dict(os.environ), **options) for way in (find_git(), None)]


def _same(start: Path | str, environ: dict[str, str] | None = None, **options: bool) -> Repository:
    one, two = _both(start, environ, **options)
    assert _places(one) == _places(two)
    assert _pairs(one) == _pairs(two)
    return one


def _pairs(repo: Repository) -> list[tuple[str, list[str]]]:
    # safe.directory and includes themselves are in both, in the same order
    return [(key, repo.config.get_all(key)) for key in sorted(repo.config.keys())]


@both_formats
def test_ordinary_places(tmp_path: Path, fmt: str) -> None:
    root = init(tmp_path / "a b\né", fmt)
    (root / "sub/deep").mkdir(parents=True)
    for start in (root, root / "sub/deep"):
        repo = _same(start)
        assert repo.worktree == str(root) and repo.git_dir == str(root / ".git") and repo.object_format == fmt
    os.symlink(root / "sub", tmp_path / "link")
    assert _same(tmp_path / "link").worktree == str(root)
    assert repo.gitrun_dir({}) == str(root / ".git/gitrun") and repo.gitrun_dir({"GITRUN_DIR": "/x"}) == "/x"


def test_linked_worktrees_and_submodules(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    git("worktree", "add", "-q", str(tmp_path / "wt"), cwd=root)
    repo = _same(tmp_path / "wt")
    assert repo.common_dir == str(root / ".git") and repo.git_dir == str(root / ".git/worktrees/wt")
    git("config", "extensions.worktreeConfig", "true", cwd=root)
    git("config", "--worktree", "core.x", "here", cwd=tmp_path / "wt")
    assert _same(tmp_path / "wt").config.get("core.x") == "here" and _same(root).config.get("core.x") is None
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(root), "sub", cwd=init(tmp_path / "top"))
    assert _same(tmp_path / "top/sub").git_dir == str(tmp_path / "top/.git/modules/sub")


def test_named_by_the_environment(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environ = {**os.environ, "GIT_DIR": str(root / ".git")}
    assert _same(elsewhere, environ).worktree == str(elsewhere)
    assert _same(elsewhere, {**environ, "GIT_WORK_TREE": str(root)}).worktree == str(root)
    moved = tmp_path / "objects"
    os.rename(root / ".git/objects", moved)
    assert _same(root, {**os.environ, "GIT_OBJECT_DIRECTORY": str(moved)}).objects_dir == str(moved)
    os.rename(moved, root / ".git/objects")
    git("config", "core.worktree", str(elsewhere), cwd=root)
    assert _same(root / ".git", environ, bare_ok=True).worktree == str(elsewhere)


@both_ways
def test_no_repository(tmp_path: Path, way: str) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(NotARepository) as problem:
        opened(tmp_path / "sub", way)
    assert problem.value.next == "git init"
    (tmp_path / "sub/.git").write_text("gitdir: /nowhere\n")
    with pytest.raises(NotARepository):
        opened(tmp_path / "sub", way)
    (tmp_path / "sub/.git").write_text("nonsense")
    with pytest.raises(GitrunError):
        opened(tmp_path / "sub", way)
    with pytest.raises(NotARepository):
        opened(tmp_path / "missing", way)
    init(tmp_path / "r")
    with pytest.raises(NotARepository):
        discover(str(tmp_path), find_git() if way == "git" else None, {**os.environ, "GIT_DIR": "/nowhere"})


@both_ways
def test_bare_and_inside_the_git_directory(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    git("clone", "-q", "--bare", str(root), str(tmp_path / "bare"), cwd=tmp_path)
    for start in (tmp_path / "bare", root / ".git", root / ".git/objects"):
        with pytest.raises(UnsupportedRepository, match="no working tree"):
            opened(start, way)
        assert _same(start, bare_ok=True).worktree is None
    archive = archive_of(None, {**os.environ, "GITRUN_ARCHIVE": str(tmp_path / "bare")})
    assert archive.git_dir == str(tmp_path / "bare")
    assert archive_of(archive, {}) is archive
    with pytest.raises(NotARepository):
        archive_of(None, {})
    with pytest.raises(NotARepository, match="GITRUN_ARCHIVE"):
        archive_of(archive, {**os.environ, "GITRUN_ARCHIVE": "/nowhere"})


@both_ways
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extensions.frobnicate", "true"),
        ("extensions.objectFormat", "sha3"),
        ("extensions.refStorage", "exotic"),
        ("core.repositoryFormatVersion", "2"),
    ],
)
def test_unknown_features_are_refused(tmp_path: Path, way: str, key: str, value: str) -> None:
    root = init(tmp_path / "r")
    git("config", "core.repositoryFormatVersion", "1", cwd=root)
    git("config", key, value, cwd=root)
    with pytest.raises(UnsupportedRepository):
        opened(root, way)


def test_reftable_needs_git(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    with (root / ".git/config").open("a") as file:
        file.write("[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n")
    with pytest.raises(UnsupportedRepository, match="needs a git executable"):
        opened(root, "none")


@both_ways
def test_somebody_elses_repository(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init(tmp_path / "r")
    if os.geteuid() == 0:
        for path in (root, root / ".git"):
            os.chown(path, 12345, 12345)
    else:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        monkeypatch.setattr(discovery.os, "geteuid", lambda: 12345)
    with pytest.raises(UnsafeRepository) as problem:
        opened(root, way)
    assert problem.value.next == f"git config --global --add safe.directory {root}"
    git("config", "--global", "safe.directory", str(root), cwd=tmp_path)
    assert opened(root, way).worktree == str(root)
    git("config", "--global", "safe.directory", "*", cwd=tmp_path)
    assert opened(root, way).worktree == str(root)
    git("config", "--global", "--add", "safe.directory", "", cwd=tmp_path)
    with pytest.raises(UnsafeRepository):
        opened(root, way)
    if os.geteuid() == 0:
        monkeypatch.setenv("SUDO_UID", "12345")
        assert opened(root, way).worktree == str(root)


_FILES = {
    "plain": '[core]\n\teditor = vim\n[user]\nname = A  B \t\n\temail="a@b" ; c\n',
    "escapes": '[a "s\\"u\\\\b.X"]\n\tk = "x\\ty" z\\n\\\\ "#no" #yes\n\tlong = one \\\n   two\n\tflag\n\tempty =\n',
    "sections": '[A.Sub]\nk=1\n[b]k2=2\n[b "C"]\n; comment\n# comment\nk-3 = 3;x\n',
    "windows": '\ufeff[core]\r\n\tx = 1\r\n\ty = "a b"\r\n',
    "booleans": "[x]\n a = yes\n b = off\n c\n d = 0\n e = 2k\n",
}


@pytest.mark.parametrize("name", _FILES)
def test_configuration_files(tmp_path: Path, name: str) -> None:
    root = init(tmp_path / "r")
    with (root / ".git/config").open("a", newline="") as file:
        file.write("\n" + _FILES[name].removeprefix("\ufeff"))
    (tmp_path / "global").write_text(_FILES[name], newline="")
    repo = _same(root, {**os.environ, "GIT_CONFIG_GLOBAL": str(tmp_path / "global")})
    if name == "booleans":
        assert [repo.config.get_bool(f"x.{k}") for k in "abcd"] == [True, False, True, False]
        assert repo.config.get_int("x.e") == 2048 and repo.config.get_bool("x.nothing", True)


def test_configuration_includes_and_environment(tmp_path: Path, world: Path) -> None:
    root = init(tmp_path / "r")
    branch = 'includeIf "onbranch:ma*"'
    (tmp_path / "global").write_text(
        f'[x]\n\tn = 1\n[include]\n\tpath = more/inc\n[includeIf "gitdir:{tmp_path}/"]\n\tpath = here\n'
        f'[includeIf "gitdir:r/"]\n\tpath = r.inc\n[includeIf "gitdir/i:**/R/**"]\n\tpath = ri\n'
        f'[includeIf "gitdir:~/"]\n\tpath = never\n[{branch}]\n\tpath = ~/branch\n[include]\n\tpath = missing\n'
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more/inc").write_text("[x]\n\tn = 2\n[include]\n\tpath = ../again\n")
    for name in ("again", "here", "r.inc", "ri", "never"):
        (tmp_path / name).write_text(f"[x]\n\tn = {name}\n")
    Path(os.environ["HOME"], "branch").write_text("[x]\n\tn = branch\n")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": str(tmp_path / "global")}
    assert _same(root, environ).config.get_all("x.n") == ["1", "2", "again", "here", "r.inc", "ri", "branch"]
    environ.update(GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0="X.N", GIT_CONFIG_VALUE_0="e", GIT_CONFIG_KEY_1="a.B.C")
    environ.update(GIT_CONFIG_VALUE_1="f")
    assert _same(root, environ).config.get("x.n") == "e" and _same(root, environ).config.get("a.B.c") == "f"
    del environ["GIT_CONFIG_GLOBAL"]
    Path(os.environ["HOME"], ".gitconfig").write_text("[y]\n\tz = home\n")
    Path(os.environ["XDG_CONFIG_HOME"], "git").mkdir()
    Path(os.environ["XDG_CONFIG_HOME"], "git/config").write_text("[y]\n\tz = xdg\n")
    assert _same(root, environ).config.get_all("y.z") == ["xdg", "home"]


@pytest.mark.parametrize("text", ["%\n", "[x\n", "[x]\n1 = 2\n", '[x]\na = "b\n', "[x]\na = \\q\n"])
def test_broken_configuration(tmp_path: Path, text: str) -> None:
    root = init(tmp_path / "r")
    (root / ".git/config").write_text(text)
    for way in ("git", "none"):
        with pytest.raises(GitrunError):
            opened(root, way)
    with pytest.raises(UnsupportedRepository, match="line"):
        read_config(str(root / ".git"), str(root / ".git"), {})


def _walked(reader: ObjectReader, tree: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes, bytes]]:
    for name, mode, oid in read_tree(reader, tree):
        if mode == DIRECTORY:
            yield from _walked(reader, oid, prefix + name + b"/")
        else:
            yield b"%o" % mode, oid.encode(), prefix + name


@both_formats
@both_ways
def test_reading_objects(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    for n in range(300):
        path = root / f"d{n % 7}/f{n}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d\n" % n * n)
    (root / "big").write_bytes(os.urandom(2 << 20))
    os.symlink("big", root / "link")
    git("add", "-A", cwd=root)
    git("commit", "-qm", "x", cwd=root)
    if way == "git":
        git("gc", "-q", cwd=root)
    git("tag", "-a", "-m", "t", "v1", cwd=root)
    listed = [line.split() for line in git("ls-tree", "-r", "HEAD", cwd=root).splitlines()]
    tree = git("rev-parse", "HEAD^{tree}", cwd=root).decode().strip()
    with open_reader(opened(root, way)) as reader:
        walked = list(_walked(reader, tree))
        assert walked == [(mode, oid, path) for mode, _, oid, path in listed]
        oids = [oid.decode() for _, _, oid, _ in listed]
        contents = {oid: data for oid, _, data in reader.many(oids)}
        for oid in oids[:3]:
            assert contents[oid] == git("cat-file", "blob", oid, cwd=root) == reader.read(oid)[1]
            assert reader.size(oid) == len(contents[oid]) and reader.has(oid)
        assert sum(map(len, contents.values())) > 2 << 20
        assert reader.read(git("rev-parse", "v1", cwd=root).decode().strip())[0] == "tag"
        missing = "1" * len(tree)
        assert not reader.has(missing)
        for ask in (reader.read, reader.size, lambda oid: next(reader.many([oid]))):
            with pytest.raises(KeyError):
                ask(missing)
        next(reader.many(oids))  # dropped half-way
        assert reader.read(tree)[0] == "tree"


@both_ways
def test_replacements_are_not_followed(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    blob = git("rev-parse", "HEAD:a.txt", cwd=root).decode().strip()
    git("replace", blob, git("hash-object", "-w", "--stdin", cwd=root, input=b"other").decode().strip(), cwd=root)
    with open_reader(opened(root, way)) as reader:
        assert reader.read(blob) == ("blob", b"a\n")


@both_ways
def test_alternates(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    git("clone", "-q", "--shared", str(root), str(tmp_path / "c"), cwd=tmp_path)
    with open_reader(opened(tmp_path / "c", way)) as reader:
        assert reader.read(git("rev-parse", "HEAD:a.txt", cwd=root).decode().strip()) == ("blob", b"a\n")


def test_diffs(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    (root / "a.txt").write_text("b\n")
    (root / "new").write_text("n\n")
    git("add", "-A", cwd=root)
    old = git("rev-parse", "HEAD^{tree}", cwd=root).decode().strip()
    new = git("write-tree", cwd=root).decode().strip()
    expected = git("diff", old, new, cwd=root)
    assert tree_diff(opened(root), old, new, [], False) == expected
    assert tree_diff(opened(root), old, new, [b"a.txt"], True) == git(
        "diff", "--color", old, new, "--", "a.txt", cwd=root
    )
    plain = tree_diff(opened(root, "none"), old, new, [b"a.txt"], False)
    assert b"-a\n+b\n" in plain and b"new" not in plain
    assert git("apply", "--cached", "--stat", cwd=root, input=tree_diff(opened(root, "none"), old, new, [], False))
