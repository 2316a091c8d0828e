"""A hostile source is refused before a byte is written; an odd but honest one is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from gitrun.errors import DamagedRecord, GitFailed, HostilePath
from gitrun.git.hashing import object_id
from gitrun.replay.plan import EXECUTABLE, FILE, GITLINK, LINK, Addition, Plan, Trees, fitting, make_plan, root_plan
from gitrun.replay.source import make_source

BLOB = object_id("blob", b"", "sha1")
Tree = list[tuple[bytes, int, str]]


class Objects:
    """Objects in memory, with the two questions a plan asks."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, bytes]] = {BLOB: ("blob", b"")}

    def tree(self, entries: Tree) -> str:
        data = b"".join(b"%o %b\0%b" % (mode, name, bytes.fromhex(oid)) for name, mode, oid in entries)
        oid = object_id("tree", data, "sha1")
        self.known[oid] = ("tree", data)
        return oid

    def many(self, oids: Iterable[str], limit: int | None = None) -> Iterator[tuple[str, str, bytes]]:
        for oid in oids:
            yield (oid, *self.known[oid])


@pytest.fixture
def objects() -> Objects:
    return Objects()


def plan(objects: Objects, tree: str, **facts: object) -> Plan:
    extra = facts.pop("extra", [])
    assert isinstance(extra, list)
    source = make_source("run x", {"tree": tree, **facts}, extra, "2026-01-01T00:00:00Z", None)
    return make_plan(source, Trees(objects))  # type: ignore[arg-type]


def beside(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "mode": FILE, "bytes": 0, "sha256": "0" * 64, "reason": "raw", "chunks": [], **more}


def test_files_links_and_submodules_are_told_apart(objects: Objects) -> None:
    inner = objects.tree([(b"f", FILE, BLOB), (b"x", EXECUTABLE, BLOB)])
    tree = objects.tree([(b"d", 0o40000, inner), (b"l", LINK, BLOB), (b"sub", GITLINK, BLOB)])
    made = plan(objects, tree, empty_directories=["empty/one"])
    assert [(item.path, item.mode) for item in made.files] == [(b"d/f", FILE), (b"d/x", EXECUTABLE)]
    assert [item.path for item in made.links] == [b"l"]
    assert made.directories == [b"empty/one", b"sub"]
    assert made.empty_gitlinks == [b"sub"]


def test_a_root_takes_the_place_of_its_gitlink(objects: Objects) -> None:
    root = objects.tree([(b"f", FILE, BLOB)])
    tree = objects.tree([(b"sub", GITLINK, BLOB)])
    made = plan(objects, tree, roots=[{"n": 1, "path": "sub", "tree": root}])
    assert [item.path for item in made.files] == [b"sub/f"]
    assert made.empty_gitlinks == []


def test_what_lies_beside_the_tree_replaces_the_blob(objects: Objects) -> None:
    root = objects.tree([(b"f", FILE, BLOB)])
    tree = objects.tree([(b"raw", FILE, BLOB), (b"sub", GITLINK, BLOB)])
    extra = [beside("raw"), beside("large"), beside("f", root=1), beside("/elsewhere/loaded.so")]
    made = plan(objects, tree, roots=[{"n": 1, "path": "sub", "tree": root}], extra=extra)
    assert made.files == []
    assert [entry.path for entry in made.extra] == [b"raw", b"large", b"sub/f"]


def test_a_root_outside_the_worktree_has_a_plan_of_its_own(objects: Objects) -> None:
    root = objects.tree([(b"f", FILE, BLOB)])
    facts = {"tree": objects.tree([]), "roots": [{"n": 3, "path": "/opt/lib", "tree": root}]}
    source = make_source("run x", facts, [beside("big", root=3)], "2026-01-01T00:00:00Z", None)
    trees = Trees(objects)  # type: ignore[arg-type]
    assert make_plan(source, trees).files == []
    made = root_plan(source, 3, trees)
    assert ([item.path for item in made.files], [entry.path for entry in made.extra]) == ([b"f"], [b"big"])


def test_group_writable_files_of_old_gits_are_files(objects: Objects) -> None:
    assert plan(objects, objects.tree([(b"f", 0o100664, BLOB)])).files[0].mode == FILE


@pytest.mark.parametrize(
    "name", [b"..", b".", b".git", b".GIT", b"git~1", b".git\xe2\x80\x8c", b"a\\.git", b"a/b", b".git."]
)
def test_names_that_climb_or_pose_as_git_are_refused(objects: Objects, name: bytes) -> None:
    with pytest.raises(HostilePath):
        plan(objects, objects.tree([(name, FILE, BLOB)]))
    with pytest.raises(HostilePath):
        plan(objects, objects.tree([(name, 0o40000, objects.tree([(b"f", FILE, BLOB)]))]))


@pytest.mark.parametrize("mode", [0o104755, 0o010000, 0o020000, 0o060000, 0o140000, 0o100644 | 0o2000])
def test_modes_that_mean_nothing_are_refused(objects: Objects, mode: int) -> None:
    with pytest.raises(HostilePath, match="unknown mode"):
        plan(objects, objects.tree([(b"f", mode, BLOB)]))


def test_one_name_twice_is_refused(objects: Objects) -> None:
    inner = objects.tree([(b"f", FILE, BLOB)])
    for second in ((b"a", LINK, BLOB), (b"a", FILE, BLOB), (b"a", 0o40000, inner)):
        with pytest.raises(HostilePath, match="twice"):
            plan(objects, objects.tree([(b"a", FILE, BLOB), second]))


def test_what_stands_beside_the_tree_cannot_go_through_a_file_or_a_link(objects: Objects) -> None:
    root = objects.tree([(b"f", FILE, BLOB)])
    for mode in (FILE, LINK):
        tree = objects.tree([(b"a", mode, BLOB)])
        with pytest.raises(HostilePath, match="both a file and a directory"):
            plan(objects, tree, extra=[beside("a/b")])
        with pytest.raises(HostilePath, match="both a file and a directory"):
            plan(objects, tree, roots=[{"n": 1, "path": "a/b", "tree": root}])
        with pytest.raises(HostilePath, match="both a file and a directory"):
            plan(objects, tree, empty_directories=["a"])


@pytest.mark.parametrize("path", [".git/hooks/post-checkout", "a/../../x", "a//b", "sub/.git/config"])
def test_hostile_paths_of_facts_are_refused(objects: Objects, path: str) -> None:
    tree = objects.tree([])
    with pytest.raises(HostilePath):
        plan(objects, tree, extra=[beside(path)])
    with pytest.raises(HostilePath):
        plan(objects, tree, empty_directories=[path])
    with pytest.raises(HostilePath):
        plan(objects, tree, roots=[{"n": 1, "path": path, "tree": tree}])


def test_two_roots_cannot_write_one_file(objects: Objects) -> None:
    root = objects.tree([(b"f", FILE, BLOB)])
    roots = [{"n": 1, "path": "sub", "tree": root}, {"n": 2, "path": "sub", "tree": root}]
    with pytest.raises(HostilePath, match="twice"):
        plan(objects, objects.tree([]), roots=roots)


def test_a_bomb_of_nested_trees_is_refused(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitrun.replay.plan.MAX_ENTRIES", 10_000)
    tree = objects.tree([(b"f", FILE, BLOB)])
    for _ in range(12):
        tree = objects.tree([(b"%d" % n, 0o40000, tree) for n in range(9)])
    with pytest.raises(HostilePath, match="more than"):
        plan(objects, tree)


def test_trees_nested_too_deeply_are_refused(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitrun.replay.plan.MAX_DEPTH", 50)
    tree = objects.tree([(b"f", FILE, BLOB)])
    for n in range(60):
        tree = objects.tree([(b"d%d" % n, 0o40000, tree)])
    with pytest.raises(HostilePath, match="deep"):
        plan(objects, tree)


def test_a_missing_tree_is_named(objects: Objects) -> None:
    missing = "ab" * 20
    with pytest.raises(DamagedRecord, match=missing):
        plan(objects, objects.tree([(b"d", 0o40000, missing)]))


@pytest.mark.parametrize(
    "extra",
    [
        {"bytes": 3},
        {"chunks": [["zz" * 32, 0]]},
        {"chunks": [["00", 0]]},
        {"chunks": [["00" * 32, -1]]},
        {"path": None},
        {"root": "one"},
        {"mode": None},
    ],
)
def test_malformed_extra_lines_are_damage(objects: Objects, extra: dict[str, object]) -> None:
    with pytest.raises(DamagedRecord, match="source cannot be read"):
        plan(objects, objects.tree([]), extra=[{**beside("f"), **extra}])


def test_a_tree_that_cannot_be_read_is_named_with_its_run(objects: Objects) -> None:
    broken = object_id("tree", b"100644 x", "sha1")
    objects.known[broken] = ("tree", b"100644 x")
    with pytest.raises(DamagedRecord, match=f"^run x: tree {broken}: a tree is damaged") as problem:
        plan(objects, broken)
    assert problem.value.next == "git fsck"

    def dies(oids: Iterable[str], limit: int | None = None) -> Iterator[tuple[str, str, bytes]]:
        raise GitFailed("git cat-file ended in the middle of an answer")
        yield

    objects.many = dies  # type: ignore[method-assign]
    with pytest.raises(DamagedRecord, match=r"^run x: .*in the middle of an answer"):
        plan(objects, objects.tree([]))


def test_of_a_link_and_a_file_below_a_directory_of_its_name_the_first_has_the_place(objects: Objects) -> None:
    link, below = Addition(b"r", FILE, iter(()), b"elsewhere"), Addition(b"r/x", FILE, iter(()))
    empty = plan(objects, objects.tree([]))
    assert [one.path for one in fitting(empty, [link, below])] == [b"r"]
    assert [one.path for one in fitting(empty, [below, link])] == [b"r/x"]
