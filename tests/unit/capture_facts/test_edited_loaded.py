"""What a run loaded of the installed packages, compared with what their distributions list."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.edited import Installed, check_installed
from gitrun.capture.edited_loaded import check_loaded
from gitrun.capture.imports import Loaded
from gitrun.capture.ownership import Owners
from tests.unit.capture_facts.test_edited import LONG_AGO, install, row


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "env/lib/python3.11/site-packages"
    install(path, "alpha", {"alpha/__init__.py": b"x = 1\n", "alpha/core.py": b"y = 2\n", "alpha/fast.so": b"\x7fELF"})
    install(path, "beta", {"beta.py": b"z = 3\n"})
    return path


def loaded(path: Path, is_library: bool = False) -> Loaded:
    """The file as a process saw it, just now."""
    facts = path.stat()
    known = (None, None) if is_library else (facts.st_size, facts.st_mtime_ns)
    return Loaded(os.fsencode(path), None, *known, is_library)


def check(site: Path, *files: Loaded, **more: Any) -> Installed:
    return check_loaded(files, [os.fsencode(site)], Owners(), **more)


def test_what_was_loaded_is_as_it_was_installed(site: Path) -> None:
    (site / "beta.py").write_bytes(b"edited, and not loaded\n")
    (site / "mine.py").write_bytes(b"nobody's\n")
    files = [loaded(site / name) for name in ("alpha/__init__.py", "alpha/core.py", "mine.py")]
    files += [loaded(site / "alpha/fast.so", is_library=True), Loaded(b"/usr/lib/libc.so.6", is_library=True)]
    files += [Loaded(os.fsencode(site / "alpha-1.0.dist-info/RECORD")), Loaded(b"/repo/train.py", "__main__")]
    assert check(site, *files) == Installed([], [], 3, 3, [])


def test_an_edit_of_equal_size_is_found(site: Path) -> None:
    (site / "alpha/core.py").write_bytes(b"y = 9\n")
    (site / "alpha/fast.so").write_bytes(b"\x7fELX")
    found = check(site, loaded(site / "alpha/core.py"), loaded(site / "alpha/fast.so", is_library=True))
    assert found.edited == [
        {
            "distribution": "alpha", "path": f"alpha/{name}", "state": "changed", "bytes": len(data), "loaded": True,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in (("core.py", b"y = 9\n"), ("fast.so", b"\x7fELX"))
    ]  # fmt: skip
    assert (found.hashed, found.of, found.problems) == (2, 2, [])


def test_an_edit_that_was_taken_back_while_the_command_ran(site: Path) -> None:
    good = (site / "alpha/core.py").read_bytes()
    (site / "alpha/core.py").write_bytes(b"y = 2; print(y)\n")
    seen = loaded(site / "alpha/core.py")
    (site / "alpha/core.py").write_bytes(good)
    found = check(site, seen)
    assert [(facts["state"], facts["bytes"], facts["sha256"]) for facts in found.edited] == [("changed", 16, None)]
    assert found.problems == [
        "1 installed file(s) were written to after they had been loaded, and are compared as they are now"
    ]


def test_a_file_that_was_installed_again_is_as_listed(site: Path) -> None:
    seen = loaded(site / "alpha/core.py")
    os.utime(site / "alpha/core.py", (LONG_AGO + 9, LONG_AGO + 9))
    found = check(site, seen)
    assert found.edited == [] and found.hashed == 1 and "after they had been loaded" in found.problems[0]


def test_a_file_that_is_gone_is_missing(site: Path) -> None:
    seen = loaded(site / "beta.py")
    (site / "beta.py").unlink()
    assert [(facts["path"], facts["state"]) for facts in check(site, seen).edited] == [("beta.py", "missing")]


def test_sizes_are_compared_also_when_there_is_no_time_to_hash(site: Path) -> None:
    (site / "alpha/core.py").write_bytes(b"much longer\n")
    found = check(site, loaded(site / "alpha/core.py"), loaded(site / "beta.py"), seconds=0.0)
    assert [facts["path"] for facts in found.edited] == ["alpha/core.py"] and (found.hashed, found.of) == (0, 2)


def test_another_environment_than_the_known_one_counts_too(site: Path, tmp_path: Path) -> None:
    vendored = tmp_path / "vendored"
    install(vendored, "gamma", {"gamma.py": b"1"})
    (vendored / "gamma.py").write_bytes(b"2")
    (site / "beta.py").write_bytes(b"z = 4\n")
    files = [loaded(vendored / "gamma.py"), loaded(site / "beta.py")]
    assert [each["path"] for each in check_loaded(files, [os.fsencode(vendored)], Owners()).edited] == [
        "beta.py", "gamma.py",
    ]  # fmt: skip
    assert check_loaded(files[:1], [], Owners()) == Installed([], [], 0, 0, []), "a directory of the user's own"


def test_no_file_is_hashed_twice_and_nothing_is_forgotten(site: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    check_installed([os.fsencode(site)], cache_dir=cache)
    (kept,) = Path(cache).iterdir()
    before = len(json.loads(kept.read_bytes())["right"])
    assert check(site, loaded(site / "beta.py"), cache_dir=cache, hashed_bytes=0).hashed == 1
    install(site, "gamma", {"gamma.py": b"1"})
    assert check(site, loaded(site / "gamma.py"), cache_dir=cache).hashed == 1
    assert len(json.loads(kept.read_bytes())["right"]) == before + 24
    assert check_installed([os.fsencode(site)], cache_dir=cache, hashed_bytes=0).hashed == 5


def test_a_row_without_size_or_hash_is_no_edit(site: Path) -> None:
    install(site, "odd", {}, ("odd.py,,", row("huge.py", b"12").replace(",2", ",999999999999999999999")))
    for name in ("odd.py", "huge.py"):
        (site / name).write_bytes(b"12")
    found = check(site, loaded(site / "odd.py"), loaded(site / "huge.py"))
    assert (found.edited, found.of) == ([], 1)
