"""Whose a loaded file is, and where it lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.capture.whereabouts import Territory, Where, Whereabouts, prefixes_of

OWNED = b"numpy/"


def owner(sites: list[bytes]) -> Callable[[bytes], object]:
    (site,) = sites
    return lambda path: "numpy" if path.startswith(os.path.join(site, OWNED)) else None


@pytest.fixture
def places(tmp_path: Path) -> Whereabouts:
    top = os.fsencode(tmp_path / "repo")
    roots = [(1, b"sub"), (2, os.fsencode(tmp_path / "editable")), (3, b"sub/inner")]
    return Whereabouts(Territory(top, roots, [os.fsencode(tmp_path / "repo/.venv"), b"/opt/py"]), owner)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("repo/train.py", (b"train.py", None)),
        ("repo/pkg/../gen/_version.py", (b"gen/_version.py", None)),
        ("repo/sub/a.py", (b"a.py", 1)),
        ("repo/sub/inner/a.py", (b"a.py", 3)),
        ("editable/src/a.py", (b"src/a.py", 2)),
        ("repo.roots/2/src/a.py", (b"src/a.py", 2)),
        ("repository/a.py", "itself"),
        ("lib/a.py", "itself"),
        ("repo/.venv/lib/python3.11/json/__init__.py", None),
        ("repo/.venv/lib/python3.11/site-packages/numpy/core.py", None),
        ("repo/.venv/lib/python3.11/site-packages/_virtualenv.py", None),
        ("repo/.venv/lib/python3.11/site-packages/copied_by_hand.py", "itself"),
        ("repo/.venv/bin/pytest", None),
    ],
)
def test_where_a_module_lies(places: Whereabouts, tmp_path: Path, path: str, found: object) -> None:
    absolute = os.fsencode(tmp_path / path)
    where = places.of(absolute)
    if found == "itself":
        assert where == Where(absolute, None, absolute) and where.is_outside
    elif found is None:
        assert where is None
    else:
        assert where is not None and (where.path, where.root) == found and not where.is_outside


@pytest.mark.parametrize(
    ("path", "is_library", "kept"),
    [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", True, False),
        ("/usr/lib/python3/dist-packages/apt.py", False, False),
        ("/usr/share/tool/plugin.py", False, False),
        ("/usr/local/share/mine/plugin.py", False, True),
        ("/opt/mine/plugin.py", False, True),
        ("/opt/vendor/libfast.so", True, False),
        ("/opt/py/lib/libpython3.11.so", True, False),
        ("/opt/py/bin/python3.11", True, False),
        ("/opt/py/lib/python3.11/os.py", False, False),
        ("/opt/py/lib/python311.zip", False, False),
        ("/home/u/build/libfast.so", True, True),
    ],
)
def test_what_is_the_systems(places: Whereabouts, path: str, is_library: bool, kept: bool) -> None:
    assert (places.of(path.encode(), is_library) is not None) is kept


def test_a_copy_of_an_outside_file_keeps_its_old_name(places: Whereabouts, tmp_path: Path) -> None:
    copy = os.fsencode(tmp_path / "repo.loaded/home/u/lib/a.py")
    assert places.of(copy) == Where(b"/home/u/lib/a.py", None, copy)


def test_a_link_from_outside_into_the_worktree_is_the_worktrees(places: Whereabouts, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/a.py").write_text("")
    (tmp_path / "link").symlink_to("repo")
    where = places.of(os.fsencode(tmp_path / "link/a.py"))
    assert where is not None and where.path == b"a.py" and where.root is None


def test_a_link_to_what_the_system_has_is_the_systems(places: Whereabouts, tmp_path: Path) -> None:
    (tmp_path / "link.so").symlink_to("/usr/lib/libsomething.so.1")
    assert places.of(os.fsencode(tmp_path / "link.so"), True) is None


def test_gitruns_own_part_in_the_process_is_nobodys_business(places: Whereabouts) -> None:
    import gitrun

    child = os.path.join(os.path.dirname(os.path.abspath(gitrun.__file__)), "child/site/sitecustomize.py")
    assert places.of(os.fsencode(child)) is None


def test_prefixes_may_be_texts_bytes_or_missing(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "link").symlink_to("python")
    starts = [{"prefix": b"/a", "base_prefix": "/b"}, {}, {"prefix": os.fsencode(tmp_path / "link"), "base_prefix": 3}]
    assert prefixes_of(starts) == [b"/a", b"/b", os.fsencode(tmp_path / "link"), os.fsencode(tmp_path / "python")]
