"""Which build of Python an interpreter is, and what a process says of its own."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from gitrun.capture.build import python_build
from gitrun.capture.interpreter import MAX_PYTHONPATH, read_interpreter, reported_interpreter
from tests.conftest import write_files
from tests.unit.capture_facts.test_native import made


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A made-up installation of Python 3.9.4 with nothing but the files that are read."""
    root = tmp_path / "opt"
    write_files(root, {"bin/python3.9": "3.9.4\0", "lib/python3.9/_sysconfigdata_d_linux_x86_64-linux-gnu.py": ""})
    (root / "lib/python3.9/site-packages").mkdir()
    return root / "bin/python3.9"


def build_of(python: Path) -> dict[str, object]:
    return python_build(read_interpreter(os.fsencode(python), {}, b"/")).value


def test_the_build_has_a_name(python: Path) -> None:
    sha256 = hashlib.sha256(b"3.9.4\0").hexdigest()
    assert build_of(python) == {"flags": "d", "platform": "x86_64-linux-gnu", "id": None, "sha256": sha256}
    library = b"\0libx.so.1\0libneed.so\0"
    python.write_bytes(made(b"\x01\x02", names=library) + b"3.9.4\0")
    assert build_of(python)["id"] == "0102"
    # what is in a library of its own is named by that
    python.write_bytes(
        made(b"\x01\x02", names=b"\0libx.so.1\0libneed.so\0").replace(b"libneed.so\0", b"libpython3\0") + b"3.9.4\0"
    )
    assert build_of(python)["id"] == "0102", "it was not found"
    (python.parents[1] / "lib/libpython3").write_bytes(made(b"\x03\x04"))
    found = python_build(read_interpreter(os.fsencode(python), {}, b"/"))
    assert found.value["id"] == "0304"
    assert found.watched == [os.fsencode(python), os.fsencode(python.parents[1] / "lib/libpython3")]


def test_a_python_that_cannot_be_read_has_no_build(tmp_path: Path) -> None:
    assert build_of(tmp_path / "gone/bin/python3.9") == {"flags": None, "platform": None, "id": None, "sha256": None}


def test_this_python_has_a_build() -> None:
    found = build_of(Path(sys.executable))
    assert found["id"] or found["sha256"]
    assert found["platform"] == sys.implementation._multiarch  # type: ignore[attr-defined]


# --- which directories count


def test_directories_that_pth_files_add(tmp_path: Path, python: Path) -> None:
    site = python.parents[1] / "lib/python3.9/site-packages"
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    lines = (
        "# x",
        "import os; os.x()",
        f"{tmp_path}/two",
        "",
        "../../../../one",
        f"{tmp_path}/gone",
        f"{tmp_path}/file",
    )
    (site / "b.pth").write_text("\n".join([*lines, "import\tx", ""]))
    (site / "a.pth").write_bytes(os.fsencode(tmp_path / "three") + b"\r\n\xff\n")
    (site / ".hidden.pth").write_text(f"{tmp_path}\n")
    found = read_interpreter(os.fsencode(python), {}, b"/").sites
    assert found == [os.fsencode(each) for each in (site, tmp_path / "three", tmp_path / "two", tmp_path / "one")]


def start_of(python: Path, path: list[bytes], **more: object) -> dict[str, object]:
    prefix = os.fsencode(python.parents[1])
    named = {"executable": os.fsencode(python), "prefix": prefix, "base_prefix": prefix, "implementation": "cpython"}
    return {**named, "version": "3.9.7", "path": path, "argv": [b"train.py"], "cwd": b"/", **more}


def test_what_a_process_reports_comes_first(tmp_path: Path, python: Path) -> None:
    root = python.parents[1]
    site, added, script = root / "lib/python3.9/site-packages", tmp_path / "added", tmp_path / "repo"
    for directory in (added, script, root / "lib/python3.9/lib-dynload"):
        directory.mkdir()
    library = [root / "lib/python39.zip", root / "lib/python3.9", root / "lib/python3.9/lib-dynload"]
    path = [b"", *map(os.fsencode, (script, *library, added, site, tmp_path / "gone"))]
    start = start_of(python, path, argv=[b"repo/train.py"], cwd=os.fsencode(tmp_path))
    found = reported_interpreter(start, {}, b"/")
    assert found is not None and found.problems == []
    assert (found.version, found.implementation, found.prefix) == ("3.9.7", "CPython", os.fsencode(root))
    assert found.sites == [os.fsencode(added), os.fsencode(site)]
    # the script's directory is of the program, unless the user put it on the path as well
    found = reported_interpreter(start, {"PYTHONPATH": str(script)}, b"/")
    assert found is not None and found.sites == [os.fsencode(each) for each in (script, added, site)]


def test_a_process_that_says_little_or_nonsense(python: Path) -> None:
    assert reported_interpreter({}, {}, b"/") is None
    assert reported_interpreter({"executable": b""}, {}, b"/") is None
    found = reported_interpreter({"executable": os.fsencode(python), "prefix": b"relative"}, {}, b"/")
    assert found is not None and found.version == "3.9.4" and found.prefix == os.fsencode(python.parents[1])
    found = reported_interpreter(start_of(python, [b"/\xff", b"/a\0b", b"relative"], implementation="pypy"), {}, b"/")
    assert found is not None and found.sites == [] and found.implementation == "PyPy"


def test_ten_thousand_entries_on_sys_path(tmp_path: Path, python: Path) -> None:
    site = os.fsencode(python.parents[1] / "lib/python3.9/site-packages")
    (tmp_path / "last").mkdir()
    path = [*(b"/x/%d" % n for n in range(10_000)), os.fsencode(tmp_path / "last"), site]
    found = reported_interpreter(start_of(python, path), {}, b"/")
    assert found is not None and found.sites == [site]
    assert found.problems == [
        f"environment: sys.path has 10002 entries; packages were looked for in {MAX_PYTHONPATH} of them"
    ]
