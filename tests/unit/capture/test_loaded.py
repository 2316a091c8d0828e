"""What of a run's loaded files is kept, and what of the source was another when it was loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.held import HeldSource
from gitrun.capture.imports import Loaded
from gitrun.capture.loaded import Finder, Findings, Limits
from gitrun.capture.snapshot import Snapshot
from gitrun.capture.whereabouts import Territory, Whereabouts
from gitrun.git.executable import find_git
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.repository import discover
from tests.snapshots import git, snapshot, store_of

PLENTY = Limits(1000, 1 << 20)


class Run:
    """A repository with a snapshot, and files that a run loads from now on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        git(root.parent, "init", "-q", "-b", "main", str(root))
        self.write("train.py", "first\n")
        self.write(".gitignore", "_version.py\n*.so\nbuild/\n")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "first")
        self.readers: list[ObjectReader] = []
        self.take()

    def take(self, **flags: str) -> Snapshot:
        self.shot = snapshot(self.root, flags={key.replace("__", "."): value for key, value in flags.items()})
        mark = self.root.parent / "mark"
        mark.write_text("")
        self.began_ns = mark.stat().st_mtime_ns
        time.sleep(0.02)  # two ticks of a file system's clock
        return self.shot

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def find(
        self, *files: Loaded | Path, limits: Limits = PLENTY, lines: list[dict[str, Any]] | None = None
    ) -> Findings:
        top = os.fsencode(self.root)
        roots = {root.n: os.fsencode(root.path) for root in self.shot.roots}
        finder = Finder(
            Whereabouts(Territory(top, list(roots.items()), []), lambda sites: lambda path: True),
            HeldSource(self.shot.source, self.shot.extra if lines is None else lines, self.reader),
            roots,
            top,
            "sha1",
            self.began_ns,
        )
        each = [file if isinstance(file, Loaded) else imported(file) for file in files]
        found, shelf = finder.find(each, lambda: store_of(self.root), limits)
        shelf.commit()
        shelf.close()
        return found

    def reader(self) -> ObjectReader:
        if not self.readers:
            self.readers.append(open_reader(discover(str(self.root), find_git(), os.environ)))
        return self.readers[0]


def imported(path: Path, module: str | None = None) -> Loaded:
    """A file as a process that imports it now reports it."""
    found = path.stat()
    return Loaded(os.fsencode(path), module or path.stem, found.st_size, found.st_mtime_ns)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path / "repo")
    yield made
    for reader in made.readers:
        reader.close()


def kept(found: Findings) -> dict[str, Any]:
    return {line["path"]: line for line in found.lines}


def test_what_the_source_holds_is_not_kept_again(run: Run) -> None:
    found = run.find(run.root / "train.py")
    assert found == Findings([], set(), [], {}, [])
    assert run.readers, "it was looked up"


def test_an_ignored_module_is_kept_with_its_bytes_and_mode(run: Run) -> None:
    path = run.write("pkg/_version.py", "v = 1\n")
    path.chmod(0o755)
    found = run.find(path)
    (line,) = found.lines
    assert (line["path"], line["mode"], line["reason"], line["bytes"]) == ("pkg/_version.py", "100755", "loaded", 6)
    assert b"".join(store_of(run.root).read(line["chunks"])) == b"v = 1\n"
    assert "module" not in line and "root" not in line and found.changed == set()


def test_a_file_outside_keeps_its_absolute_path_and_its_modules_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/helper.py").write_text("x = 1\n")
    (line,) = run.find(tmp_path / "lib/helper.py").lines
    assert (line["path"], line["module"]) == (str(tmp_path / "lib/helper.py"), "helper")


def test_a_module_edited_after_the_snapshot_is_named(run: Run) -> None:
    path = run.write("train.py", "second\n")
    assert run.find(path).changed == {"train.py"}


def test_a_module_replaced_by_an_older_file_of_the_same_size_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("older\n")
    os.utime(tmp_path / "old.py", (1, 1))
    os.rename(tmp_path / "old.py", run.root / "train.py")
    assert run.find(run.root / "train.py").changed == {"train.py"}


def test_a_module_that_was_only_touched_is_the_same(run: Run) -> None:
    os.utime(run.root / "train.py")
    assert run.find(run.root / "train.py").changed == set()


def test_a_module_rewritten_after_its_import_was_the_sources_when_it_was_imported(run: Run) -> None:
    seen = imported(run.root / "train.py")
    run.write("train.py", "the next version\n")
    assert run.find(seen).changed == set()


def test_a_module_imported_in_two_versions_is_named(run: Run) -> None:
    first = imported(run.root / "train.py")
    path = run.write("train.py", "second, longer\n")
    second = imported(path)
    run.write("train.py", "first\n")
    assert run.find(first, second).changed == {"train.py"}


def test_a_module_that_was_removed_after_its_import(run: Run) -> None:
    seen = imported(run.root / "train.py")
    ignored = imported(run.write("_version.py", "x\n"))
    os.unlink(run.root / "train.py")
    os.unlink(run.root / "_version.py")
    found = run.find(seen, ignored)
    assert found.changed == set() and found.lines == []
    assert [(e["path"], e["reason"][:4]) for e in found.left_out] == [("_version.py", "gone")]
    assert found.problems == ["1 file(s) that the run loaded, 0 bytes, are not kept: see source.excluded"]


def test_an_ignored_module_rewritten_since_its_import_is_kept_as_it_is_now_and_named(run: Run) -> None:
    seen = imported(run.write("_version.py", "v = 1\n"))
    run.write("_version.py", "v = 2, longer\n")
    found = run.find(seen)
    assert [line["bytes"] for line in found.lines] == [14] and found.changed == {"_version.py"}


def test_what_a_guard_left_out_comes_in_when_it_is_loaded(run: Run) -> None:
    for name in ("gen/a.py", "gen/b.py"):
        run.write(name, name)
    source = run.take(record__max_files="0").source
    assert [e["path"] for e in source["excluded"]] == ["gen/"]
    assert list(kept(run.find(run.root / "gen/b.py"))) == ["gen/b.py"]


def test_a_file_of_a_submodule_is_named_by_its_root(run: Run, tmp_path: Path) -> None:
    inner = run.root / "inner"
    git(tmp_path, "init", "-q", str(inner))
    run.write("inner/a.py", "a\n")
    run.write("inner/.gitignore", "gen.py\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "first")
    run.write("inner/gen.py", "g\n")
    run.take()
    found = run.find(inner / "a.py", inner / "gen.py", run.write("_version.py", "v\n"))
    assert [(line["path"], line.get("root")) for line in found.lines] == [("_version.py", None), ("gen.py", 1)]


def test_a_tracked_link_is_followed_to_where_the_code_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.py").write_text("a\n")
    (run.root / "shared").symlink_to("../shared")
    run.take()
    assert list(kept(run.find(run.root / "shared/a.py"))) == [str(tmp_path / "shared/a.py")]


def test_an_ignored_link_is_kept_as_the_file_it_stands_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("e\n")
    (run.root / "_version.py").symlink_to("../elsewhere.py")
    assert list(kept(run.find(run.root / "_version.py"))) == ["_version.py"]


def test_small_files_come_before_large_ones_and_the_rest_is_named(run: Run) -> None:
    for name, size in (("build/a.so", 700), ("build/b.py", 200), ("build/c.py", 100)):
        run.write(name, "x" * size)
    paths = [run.root / name for name in ("build/a.so", "build/b.py", "build/c.py")]
    found = run.find(*paths, limits=Limits(10, 500))
    assert list(kept(found)) == ["build/b.py", "build/c.py"]
    assert found.left_out == [{"path": "build/a.so", "bytes": 700, "reason": "loaded_bytes"}]
    found = run.find(*paths, limits=Limits(1, 5000))
    assert list(kept(found)) == ["build/c.py"]
    assert [e["reason"] for e in found.left_out] == ["loaded_files", "loaded_files"]


def test_a_long_list_of_what_was_left_out_is_summed_up(run: Run) -> None:
    paths = [run.write(f"build/{n:03}.py", "xx") for n in range(120)]
    found = run.find(*paths, limits=Limits(0, 5000))
    assert len(found.left_out) == 101
    assert found.left_out[-1] == {"path": "./", "bytes": 40, "reason": "loaded_files", "files": 20}


def test_secrets_and_unsafe_names_are_never_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/plugin.py").write_text("x")
    (tmp_path / "GIT~1").mkdir()
    (tmp_path / "GIT~1/hook.py").write_text("x")
    found = run.find(tmp_path / ".ssh/plugin.py", tmp_path / "GIT~1/hook.py")
    assert found.lines == [] and sorted(e["reason"] for e in found.left_out) == ["secret", "unsafe name"]


def test_a_fifo_or_a_directory_by_a_modules_name_is_passed_over(run: Run) -> None:
    os.mkfifo(run.root / "_version.py")
    (run.root / "build").mkdir()
    files = [Loaded(os.fsencode(run.root / name), "m") for name in ("_version.py", "build", "nothing.so")]
    assert run.find(*files) == Findings([], set(), [], {}, [])


def test_names_that_are_not_utf8(run: Run) -> None:
    path = os.fsencode(run.root) + b"/build/\xff.py"
    os.mkdir(run.root / "build")
    with open(path, "wb") as file:
        file.write(b"x")
    assert [os.fsencode(line["path"]) for line in run.find(Loaded(path, "m")).lines] == [b"build/\xff.py"]


def test_a_replay_keeps_what_it_loaded_itself(run: Run) -> None:
    path = run.write("_version.py", "v = 1\n")
    (line,) = run.find(path).lines
    assert run.find(path, lines=[line]) == Findings([line], set(), [], {}, [])
    found = run.find(run.write("_version.py", "v = 2\n"), lines=[line])
    assert found.changed == {"_version.py"} and found.lines[0]["sha256"] != line["sha256"]


def test_the_converted_bytes_are_compared_with_the_raw_ones(run: Run) -> None:
    run.write(".gitattributes", "*.py text eol=crlf\n")
    run.write("train.py", "first\r\n")
    run.take()
    assert [e["reason"] for e in run.shot.extra] == ["raw"]
    os.utime(run.root / "train.py")
    assert run.find(run.root / "train.py").changed == set()
    assert run.find(run.write("train.py", "other\r\n")).changed == {"train.py"}


def test_many_files_of_installed_packages_cost_little(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = os.fsencode(tmp_path / "env/lib/python3.11/site-packages") + b"/"
    looked: list[bytes] = []
    real: Callable[..., Any] = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path, **more: looked.append(path) or real(path, **more))
    run.find(*[Loaded(site + b"p/%d.py" % n, "m", 1, 1) for n in range(5000)])
    assert len(looked) < 10, "no system call for a file that is somebody's"
