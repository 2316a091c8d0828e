"""What a snapshot says beside its tree, and where it puts what no tree can hold."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import contents, watch, worktree
from gitrun.capture.snapshot import redact_url
from gitrun.capture.watch import changed_since, clock_ns
from gitrun.errors import UnsupportedRepository
from tests.differential.snapshot_states import STATES, base, write
from tests.snapshots import content, files_of, git, gits_tree, is_complete, snapshot, store_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    base(made)
    return made


def bytes_of(root: Path, line: dict[str, object]) -> bytes:
    return b"".join(store_of(root).read([(blob, length) for blob, length in line["chunks"]]))  # type: ignore[attr-defined]


def test_a_clean_worktree(root: Path) -> None:
    taken = snapshot(root)
    head = git(root, "rev-parse", "HEAD").decode().strip()
    assert not taken.source["dirty"]
    assert (taken.base, taken.source["branch"], taken.source["detached"]) == (head, "refs/heads/main", False)
    assert git(root, "rev-parse", f"{taken.commit}^").decode().strip() == head
    assert git(root, "rev-parse", f"{taken.commit}^{{tree}}").decode().strip() == taken.tree
    lists = [key for key, value in taken.source.items() if isinstance(value, list) and value]
    assert lists == []


def test_the_lists(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["modified_staged_and_untracked"](root)
    (root / "z").unlink()
    git(root, "rm", "-q", "--cached", "other/f")
    source = snapshot(root).source
    assert source["dirty"]
    assert source["modified"] == ["a.py", "dir/sub/d.py"]
    assert source["deleted"] == ["z"]
    assert source["untracked"] == ["dir/new.py", "fresh/deep/er/file", "other/f"]
    assert source["index_tracked_new"] == ["staged_new", "staged_then_changed"]
    assert source["removed_from_index"] == ["other/f"]


def test_a_directory_removed_from_the_index_is_listed_by_file(root: Path) -> None:
    git(root, "rm", "-q", "-r", "--cached", "dir")
    source = snapshot(root).source
    assert source["removed_from_index"] == ["dir/c.py", "dir/sub/d.py", "dir/sub/deep/e.bin"]
    assert source["untracked"] == source["removed_from_index"]
    assert source["deleted"] == []


def test_a_deleted_directory_is_listed_by_file(root: Path) -> None:
    os.rename(root / "dir", root.parent / "away")
    source = snapshot(root).source
    assert source["deleted"] == ["dir/c.py", "dir/sub/d.py", "dir/sub/deep/e.bin"]


def test_conflicts_are_listed(tmp_path: Path) -> None:
    STATES["merge_conflict"](tmp_path / "repo")
    assert snapshot(tmp_path / "repo").source["conflicts"] == ["a.py", "both", "z"]


def test_empty_directories_are_the_deepest_without_source(root: Path) -> None:
    (root / "empty/deep").mkdir(parents=True)
    (root / "logs").mkdir()
    write(root, ".gitignore", "*.log\nskipped/\n")
    write(root, "logs/x.log")
    write(root, "skipped/x")
    (root / "parent/skipped").mkdir(parents=True)
    assert snapshot(root).source["empty_directories"] == ["empty/deep", "logs", "parent"]


@pytest.mark.parametrize("state", ["assume_unchanged", "skip_worktree"])
def test_hidden_edits_are_in_the_delta(state: str, tmp_path: Path) -> None:
    STATES[state](tmp_path / "repo")
    kinds = {entry["path"]: entry["kind"] for entry in snapshot(tmp_path / "repo").source["delta"]}
    assert kinds["a.py"] == state.replace("_", "-")


def test_a_sparse_checkout_is_counted_by_directory(tmp_path: Path) -> None:
    STATES["sparse_checkout"](tmp_path / "repo")
    source = snapshot(tmp_path / "repo").source
    assert source["sparse"]
    assert source["deleted"] == []
    assert [entry for entry in source["delta"] if entry["kind"] == "sparse"] == [
        {"path": "dir/", "kind": "sparse", "files": 1},
        {"path": "dir/sub/", "kind": "sparse", "files": 1},
        {"path": "dir/sub/deep/", "kind": "sparse", "files": 1},
    ]


def test_a_sparse_checkout_alone_is_clean(root: Path) -> None:
    git(root, "sparse-checkout", "set", "--cone", "other")
    source = snapshot(root).source
    assert source["sparse"] and not source["dirty"] and source["deleted"] == []


@pytest.mark.parametrize("state", ["split_index", "sparse_index"])
def test_an_uncommon_index_without_git_is_refused(state: str, tmp_path: Path) -> None:
    STATES[state](tmp_path / "repo")
    with pytest.raises(UnsupportedRepository, match="only git can read"):
        snapshot(tmp_path / "repo", without_git=True)


def test_converted_files_keep_their_bytes(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["filters"](root)
    write(root, ".gitattributes", "*.up filter=up\n*.id ident\n*.txt text\n*.ptr filter=lfs\n")
    git(root, "config", "filter.lfs.clean", "printf 'version https://git-lfs.github.com/spec/v1\\noid x\\n'")
    write(root, "dos.txt", "1\r\n")
    write(root, "same.up", "ALREADY\n")
    write(root, "large.ptr", "the real content\n")
    write(root, "run.up", "x\n", 0o755)
    taken = snapshot(root)
    lines = {line["path"]: line for line in taken.extra}
    reasons = {path: line["reason"] for path, line in lines.items()}
    assert reasons == {"dos.txt": "raw", "x.up": "raw", "x.id": "raw", "large.ptr": "lfs", "run.up": "raw"}
    assert content(root, taken.tree, "x.up") == b"LOWER\n"
    assert bytes_of(root, lines["x.up"]) == b"lower\n"
    assert bytes_of(root, lines["large.ptr"]) == b"the real content\n"
    assert lines["run.up"]["mode"] == "100755"
    assert taken.source["delta"] == []
    assert not (root / ".git/gitrun/cache").exists() or not os.listdir(root / ".git/gitrun/cache")


def test_converted_files_without_git_are_stored_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["filters"](root)
    taken = snapshot(root, without_git=True)
    assert content(root, taken.tree, "x.up") == b"lower\n"
    assert [entry["path"] for entry in taken.source["delta"]] == ["x.id", "x.u16", "x.up"]
    assert {entry["kind"] for entry in taken.source["delta"]} == {"unconverted"}


@pytest.mark.parametrize("without_git", [False, True])
def test_an_unchanged_file_that_was_smudged_keeps_its_bytes(without_git: bool, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    base(root)
    git(root, "config", "filter.up.clean", "tr a-z A-Z")
    for name, text in {".gitattributes": "*.up filter=up\n*.txt text\n", "dos.txt": "1\r\n", "x.up": "lower\n"}.items():
        write(root, name, text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "filtered")
    time.sleep(0.02)
    (root / ".git/index").touch()  # so that no entry is as young as the index
    taken = snapshot(root, without_git=without_git)
    assert taken.tree == gits_tree(root)
    assert {line["path"]: bytes_of(root, line) for line in taken.extra} == {"dos.txt": b"1\r\n", "x.up": b"lower\n"}
    assert not taken.source["dirty"]


def test_a_filter_that_fails_leaves_the_bytes_in_the_tree(root: Path) -> None:
    write(root, ".gitattributes", "*.bad filter=bad\n*.up filter=up\n")
    git(root, "config", "filter.bad.clean", "false")
    git(root, "config", "filter.bad.required", "true")
    git(root, "config", "filter.up.clean", "tr a-z A-Z")
    write(root, "x.bad", "as it is\n")
    write(root, "x.up", "lower\n")
    taken = snapshot(root)
    assert content(root, taken.tree, "x.bad") == b"as it is\n"
    assert content(root, taken.tree, "x.up") == b"LOWER\n"
    assert taken.source["delta"] == [{"path": "x.bad", "kind": "unconverted"}]


def test_submodules_and_clones_are_roots(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["submodule_moved"](root)
    base(root / "clone", files={"x": "1\n", ".gitattributes": "*.txt text\n", "dos.txt": "1\r\n"})
    write(root, "clone/untracked", "u\n")
    subprocess.run(["git", "init", "-q", str(root / "clone/unborn")], check=True)
    write(root, "clone/unborn/file", "f\n")
    (root / "clone/unborn/empty").mkdir()
    taken = snapshot(root)
    facts = {entry["path"]: entry for entry in taken.source["roots"]}
    assert list(facts) == ["clone", "clone/unborn", "vendor/library"]
    assert [facts[path]["kind"] for path in facts] == ["embedded", "embedded", "submodule"]
    assert facts["vendor/library"]["dirty"] and facts["clone/unborn"]["commit"] is None
    trees = {nested.path: nested.tree for nested in taken.roots}
    assert set(files_of(root, trees["clone"])) == {b".gitattributes", b"dos.txt", b"untracked", b"x"}
    assert content(root, trees["clone"], "dos.txt") == b"1\r\n"
    assert content(root, trees["vendor/library"], "lib.py") == b"dirty\n"
    assert content(root, trees["clone/unborn"], "file") == b"f\n"
    assert taken.source["delta"] == [{"path": "clone/unborn/", "kind": "embedded"}]
    assert taken.source["empty_directories"] == ["clone/unborn/empty"]
    assert is_complete(root, *trees.values())
    assert {nested.n for nested in taken.roots} == {1, 2, 3}


def test_a_clean_submodule_is_a_root_too(tmp_path: Path) -> None:
    inner, root = tmp_path / "library", tmp_path / "repo"
    base(inner, files={"lib.py": "1\n"})
    base(root)
    git(root, "submodule", "--quiet", "add", str(inner), "lib")
    git(root, "commit", "-q", "-m", "submodule")
    taken = snapshot(root)
    (fact,) = taken.source["roots"]
    assert not fact["dirty"] and not taken.source["dirty"]
    assert content(root, taken.roots[0].tree, "lib.py") == b"1\n"
    assert snapshot(root).tree == taken.tree


def test_a_linked_worktree_and_a_subdirectory(root: Path) -> None:
    other = root.parent / "linked"
    git(root, "worktree", "add", "-q", "-b", "side", str(other))
    write(other, "dir/new")
    taken = snapshot(other / "dir")
    assert taken.tree == gits_tree(other)
    assert taken.source["branch"] == "refs/heads/side"
    assert taken.pack is not None and taken.pack.directory == str(root / ".git/objects/pack")


def test_a_shallow_clone(root: Path) -> None:
    write(root, "z", "second\n")
    git(root, "commit", "-q", "-a", "-m", "second")
    clone = root.parent / "clone"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{root}", str(clone)], check=True)
    write(clone, "new")
    taken = snapshot(clone)
    assert taken.source["shallow"]
    assert taken.tree == gits_tree(clone)
    assert taken.source["remotes"] == {"origin": f"file://{root}"}


@pytest.mark.parametrize("missing", ["blob:none", "tree:0"])
def test_a_partial_clone_fetches_nothing(missing: str, root: Path) -> None:
    write(root, "dir/c.py", "second\n")
    git(root, "commit", "-q", "-a", "-m", "second")
    git(root, "config", "uploadpack.allowFilter", "true")
    clone = root.parent / "clone"
    subprocess.run(["git", "clone", "-q", f"--filter={missing}", f"file://{root}", str(clone)], check=True)
    os.rename(root, root.parent / "unreachable")
    write(clone, "dir/new")
    git(clone, "add", "dir/new")
    write(clone, "z", "changed\n")
    taken = snapshot(clone)
    assert taken.tree == gits_tree(clone)
    assert taken.source["modified"] == ["z"]


def test_an_archive_elsewhere_gets_everything(root: Path) -> None:
    other = root.parent / "archive"
    base(other, files={"unrelated": "1\n"})
    write(root, "new")
    taken = snapshot(root, archive=other)
    assert taken.tree == gits_tree(root)
    assert taken.base == git(root, "rev-parse", "HEAD").decode().strip()
    assert git(other, "rev-list", "--count", taken.commit).strip() == b"1"
    assert is_complete(other, taken.commit)
    assert taken.source["untracked"] == ["new"] and taken.source["modified"] == []


def test_an_archive_that_has_the_base_gets_the_change(root: Path) -> None:
    clone = root.parent / "clone"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    write(clone, "new")
    taken = snapshot(clone, archive=root)
    assert git(root, "rev-list", "--count", taken.commit).strip() == b"2"
    assert is_complete(root, taken.commit)


def test_a_file_that_never_stands_still_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "growing", "1\n")
    read = contents._read_all

    def and_grow(fd: int, size: int) -> bytes:
        data = read(fd, size)
        if data.startswith(b"1\n"):
            with open(root / "growing", "a") as file:
                file.write("more\n")
        return data

    monkeypatch.setattr(contents, "_read_all", and_grow)
    taken = snapshot(root)
    assert taken.source["changed_during_run"] == ["growing"]
    assert content(root, taken.tree, "growing") == b"1\nmore\nmore\n"


def test_a_file_that_vanishes_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "a.py", "changed\n")
    write(root, "new")
    read = contents.read_whole

    def and_remove(path: bytes) -> contents.Whole | None:
        if os.path.exists(path):
            os.unlink(path)
        return read(path)

    monkeypatch.setattr(contents, "read_whole", and_remove)
    taken = snapshot(root)
    assert taken.source["changed_during_run"] == ["a.py", "new"]
    assert taken.source["deleted"] == ["a.py"] and taken.source["untracked"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who may become another")
def test_what_may_not_be_read_is_left_out(root: Path) -> None:
    write(root, "new", mode=0)
    write(root, "a.py", "changed\n", mode=0)
    write(root, "shut/file")
    for path in (root.parent, root, *root.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    (root / "shut").chmod(0)
    for directory in root.parents:
        if directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            source = snapshot(root).source
            assert [(entry["path"], entry["reason"]) for entry in source["excluded"]] == [
                ("a.py", "unreadable"),
                ("new", "unreadable"),
                ("shut/", "unreadable"),
            ]
            assert source["deleted"] == []
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_names_that_mean_git_elsewhere_are_refused(root: Path) -> None:
    write(root, ".GIT/config")
    write(root, "git~1")
    taken = snapshot(root)
    assert [(entry["path"], entry["reason"]) for entry in taken.source["excluded"]] == [
        (".GIT", "unsafe name"),
        ("git~1", "unsafe name"),
    ]


def test_gitruns_own_directory_is_never_source(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITRUN_DIR", str(root / "archive/of/runs"))
    write(root, "archive/of/runs/store/packs/x")
    write(root, "archive/notes")
    assert snapshot(root).source["untracked"] == ["archive/notes"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://token@host/x.git", "https://host/x.git"),
        ("https://user:secret@host/x.git", "https://host/x.git"),
        ("ssh://git:secret@host/x", "ssh://git@host/x"),
        ("git@host:x.git", "git@host:x.git"),
        ("/a/path", "/a/path"),
    ],
)
def test_urls_lose_their_secrets(url: str, kept: str) -> None:
    assert redact_url(url) == kept


def test_files_in_the_directory_of_an_uninitialised_submodule_are_a_root(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD").decode().strip()
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{commit},lib", "--cacheinfo", f"160000,{commit},bare")
    git(root, "commit", "-q", "-m", "gitlinks")
    (root / "bare").mkdir()
    write(root, "lib/pkg/mod.py", "X = 1\n")
    taken = snapshot(root)
    (fact,) = taken.source["roots"]
    assert (fact["path"], fact["kind"], fact["commit"]) == ("lib", "files", None)
    assert content(root, fact["tree"], "pkg/mod.py") == b"X = 1\n"
    assert taken.tree == gits_tree(root) and not taken.source["dirty"]


def test_the_modes_on_disk_are_named_where_git_does_not_look(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["symlinks_false"](root)
    git(root, "config", "core.fileMode", "false")
    (root / "a.py").chmod(0o755)
    write(root, "new.sh", mode=0o755)
    taken = snapshot(root)
    assert taken.tree == gits_tree(root)
    assert taken.source["delta"] == [
        {"path": "a.py", "kind": "mode", "mode": "100755"},
        {"path": "link", "kind": "file for link", "mode": "100644"},
        {"path": "new.sh", "kind": "mode", "mode": "100755"},
    ]


def test_a_file_that_changes_after_it_was_read_is_read_again_and_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "a.py", "first\n")
    write(root, "z", "changed\n")
    read = contents.Contents.read
    left = ["second\n"]

    def and_edit(self: contents.Contents, path: bytes) -> contents.Whole | None:
        whole = read(self, path)
        if path == b"z" and left:
            time.sleep(0.02)  # past the tick in which the snapshot began
            write(root, "a.py", left.pop())
        return whole

    monkeypatch.setattr(contents.Contents, "read", and_edit)
    taken = snapshot(root)
    assert taken.source["changed_during_run"] == ["a.py"]
    assert content(root, taken.tree, "a.py") == b"second\n"


def test_a_file_cut_short_while_the_snapshot_was_taken_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = worktree.walk

    def after_a_cut(*args: Any, **more: Any) -> Any:
        time.sleep(0.02)
        write(root, "a.py", b"")
        return walk(*args, **more)

    monkeypatch.setattr(worktree, "walk", after_a_cut)
    assert snapshot(root).source["changed_during_run"] == ["a.py"]


def test_an_edit_between_the_snapshot_and_the_start_is_found_and_a_later_one_is_not(root: Path) -> None:
    write(root, "new", "1\n")
    taken = snapshot(root)
    assert taken.watch is not None
    time.sleep(0.02)
    write(root, "a.py", "before the start\n")
    write(root, "new", "2\n")
    time.sleep(0.02)
    started_ns = clock_ns(str(root / ".git/gitrun"))
    time.sleep(0.02)
    write(root, "z", "by the command\n")
    assert changed_since(taken.watch, started_ns).paths == {"a.py", "new"}


def test_more_tracked_files_than_can_be_looked_at_again_are_a_gap(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_TRACKED", 3)
    taken = snapshot(root)
    assert taken.watch is not None
    changes = changed_since(taken.watch, clock_ns(str(root / ".git/gitrun")))
    assert not changes.paths and "8 tracked files" in changes.gaps[0]


def test_the_file_that_a_split_index_shares_keeps_its_time(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    STATES["split_index"](root)
    (shared,) = (root / ".git").glob("sharedindex.*")
    os.utime(shared, (1_600_000_000, 1_600_000_000))
    snapshot(root)
    assert shared.stat().st_mtime == 1_600_000_000
