"""Code from outside the worktree: where a checkout puts it, and where a replay finds it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.errors import DestinationExists, HostilePath
from gitrun.replay.checkout import checkout
from gitrun.replay.elsewhere import Elsewhere
from gitrun.replay.plan import outside_plan
from gitrun.replay.source import Source, make_source
from gitrun.replay.surroundings import Move

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
WHEN = "2026-01-02T03:04:05.678901Z"


def line(path: Path | str, data: bytes = b"x = 1\n", **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    chunks = [[digest, len(data)]]
    known = {"path": str(path), "mode": "100644", "bytes": len(data), "sha256": digest, "reason": "loaded"}
    return {**known, "chunks": chunks, **more}


def source(*lines: dict[str, Any], roots: list[dict[str, Any]] | None = None) -> Source:
    return make_source("run x", {"tree": EMPTY_TREE, "roots": roots or []}, list(lines), WHEN, None)


def root(n: int, path: Path, *imported_from: str) -> dict[str, Any]:
    return {"n": n, "path": str(path), "tree": EMPTY_TREE, "imported_from": list(imported_from)}


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    made = tmp_path / "lib"
    made.mkdir()
    (made / "helper.py").write_text("x = 1\n")
    return made


def paths(elsewhere: Elsewhere, **variables: str) -> list[str]:
    return elsewhere.with_paths(variables).get("PYTHONPATH", "").split(":")


def test_an_untouched_file_is_used_where_it_is(tmp_path: Path, lib: Path) -> None:
    elsewhere = Elsewhere(source(line(lib / "helper.py", module="helper")), str(tmp_path / "out"))
    assert elsewhere.place(str(lib)) is None and elsewhere.notes() == []
    assert paths(elsewhere) == [str(lib)]
    assert paths(elsewhere, PYTHONPATH=str(lib)) == [str(lib)]
    assert paths(elsewhere, PYTHONPATH=":/a") == ["", "/a", str(lib)], "an empty part is the current directory"


@pytest.mark.parametrize("change", [lambda path: path.write_text("x = 2\n"), lambda path: path.unlink()])
def test_a_changed_or_missing_file_is_used_from_the_copy(
    tmp_path: Path, lib: Path, change: Callable[[Path], Any]
) -> None:
    change(lib / "helper.py")
    elsewhere = Elsewhere(source(line(lib / "helper.py", module="helper")), str(tmp_path / "out"))
    copy = f"{tmp_path}/out.loaded{lib}"
    assert elsewhere.place(f"{lib}/") == copy and elsewhere.place(f"{lib}/helper.py") == copy + "/helper.py"
    assert elsewhere.place(str(lib) + "rary") is None and elsewhere.place("/etc") is None
    assert paths(elsewhere) == [copy]
    assert len(elsewhere.notes()) == 1 and "helper.py" in elsewhere.notes()[0]
    assert Move("/w", "/x", elsewhere.place).variable(f"{lib}:/usr/lib") == f"{copy}:/usr/lib"
    assert Move("/w", "/x", elsewhere.place).word(f"--path={lib}") == f"--path={copy}"


def test_a_directory_that_hides_the_standard_library_is_used_from_the_copy(tmp_path: Path, lib: Path) -> None:
    (lib / "random.py").write_text("")
    elsewhere = Elsewhere(source(line(lib / "helper.py", module="helper")), str(tmp_path / "out"))
    assert paths(elsewhere) == [f"{tmp_path}/out.loaded{lib}"]


def test_installed_packages_never_come_in_front_of_the_library(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "helper.py").write_text("x = 1\n")
    found = source(line(site / "helper.py", module="helper"))
    assert paths(Elsewhere(found, str(tmp_path / "out"))) == [""]
    (site / "helper.py").unlink()
    assert paths(Elsewhere(found, str(tmp_path / "out"))) == [f"{tmp_path}/out.loaded{site}"]


def test_the_directory_of_a_script_needs_no_path(tmp_path: Path, lib: Path) -> None:
    found = source(line(lib / "helper.py", module="helper"), line(lib / "run.py", module="__main__"))
    assert paths(Elsewhere(found, str(tmp_path / "out"))) == [""]


def test_roots_come_first(tmp_path: Path, lib: Path) -> None:
    (tmp_path / "out.roots/1/src").mkdir(parents=True)
    roots = [root(1, tmp_path / "editable", "src", ".", "../..", "/etc")]
    elsewhere = Elsewhere(source(line(lib / "helper.py", module="helper"), roots=roots), str(tmp_path / "out"))
    assert paths(elsewhere, PYTHONPATH="/a") == [
        f"{tmp_path}/out.roots/1/src",
        f"{tmp_path}/out.roots/1",
        "/a",
        str(lib),
    ]
    assert elsewhere.place(f"{tmp_path}/editable/src") == f"{tmp_path}/out.roots/1/src"
    assert elsewhere.place(f"{tmp_path}/editable/data") is None, "the copy has no such thing"


def test_many_changed_files_are_counted(tmp_path: Path) -> None:
    elsewhere = Elsewhere(source(*[line(f"/gone/{n}.py") for n in range(8)]), str(tmp_path / "out"))
    assert elsewhere.notes()[-1] == "3 more files outside the worktree likewise"


def test_a_checkout_writes_them_beside_and_never_to_their_old_place(
    tmp_path: Path, make_repo: Callable[..., Path], git: Callable[..., Any], lib: Path
) -> None:
    repo = make_repo()
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo).stdout.strip()
    with Archive.open(str(repo), os.environ) as archive:
        with archive.store.session() as session:
            session.put(b"was = 1\n")
            session.commit()
        entry = line(lib / "helper.py", b"was = 1\n", module="helper")
        found = make_source("run x", {"tree": tree, "base": None}, [entry], WHEN, None)
        made = checkout(archive, found, str(tmp_path / "out"))
        assert made.loaded == f"{tmp_path}/out.loaded"
        assert Path(f"{made.loaded}{lib}/helper.py").read_text() == "was = 1\n"
        assert (lib / "helper.py").read_text() == "x = 1\n"
        assert sorted(os.listdir(tmp_path / "out")) == [".git", "train.py"]
        with pytest.raises(DestinationExists):
            checkout(archive, found, str(tmp_path / "out"))
        (tmp_path / "two.loaded").mkdir()
        (tmp_path / "two.loaded/mine").write_text("")
        with pytest.raises(DestinationExists):
            checkout(archive, found, str(tmp_path / "two"))
        assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("path", ["/a/../b.py", "//x.py/..", "/a/.git/hooks/post-checkout", "/GIT~1/x.py", "/"])
def test_hostile_absolute_paths_are_refused(path: str) -> None:
    with pytest.raises(HostilePath):
        outside_plan(source(line(path)))
