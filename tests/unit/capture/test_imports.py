"""What counts as loaded, and under which directory a module was found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.imports import Loaded, import_root, loaded_files, started_in
from gitrun.capture.observed import Module, Observed, Process


def process(modules: list[Module] = [], mapped: list[bytes] = [], **start: Any) -> Process:  # noqa: B006  # not changed
    return Process(
        1, 0, start, configs=[], modules=modules, mapped=mapped, opened=[], seeds={}, numerics={}, complete=True
    )


def loaded(
    *processes: Process, command: list[str] | None = None, cwd: bytes = b"/w", worktree: bytes | None = None
) -> list[Loaded]:
    return list(loaded_files(Observed(list(processes), []), command or ["true"], cwd, worktree or cwd))


@pytest.mark.parametrize(
    ("module", "path", "root"),
    [
        ("a", b"/x/a.py", b"/x"),
        ("p.q.a", b"/x/p/q/a.py", b"/x"),
        ("p.q", b"/x/p/q/__init__.py", b"/x"),
        ("p.fast", b"/x/p/fast.cpython-311-x86_64-linux-gnu.so", b"/x"),
        ("a", b"/a.py", b"/"),
        ("p.a", b"/x/other/a.py", None),
        ("a", b"/x/b.py", None),
        ("__main__", b"/x/__main__.py", None),
        (None, b"/x/a.py", None),
    ],
)
def test_the_directory_a_module_was_found_under(module: str | None, path: bytes, root: bytes | None) -> None:
    assert import_root(module, path) == root


def test_relative_paths_are_relative_to_the_process_or_the_run() -> None:
    modules = [Module("a", b"a.py", 3, 5)]
    assert loaded(process(modules, cwd=b"/p"), process(modules)) == [
        Loaded(b"/p/a.py", "a", 3, 5),
        Loaded(b"/w/a.py", "a", 3, 5),
    ]


def test_a_module_in_an_archive_stands_for_the_archive() -> None:
    assert loaded(process([Module("a.b", b"/x/lib.zip/a/b.py", 0, 0)])) == [Loaded(b"/x/lib.zip")]


def test_a_file_that_nobody_looked_at_has_no_size() -> None:
    assert loaded(process([Module("a", b"/a.py", 0, 0)])) == [Loaded(b"/a.py", "a", None, None)]


def test_what_is_no_file_is_passed_over() -> None:
    assert loaded(process([Module("a", b"<frozen a>", 0, 0)], [b"[vdso]", b"/x/lib.so (deleted)"], argv=[b"-c"])) == []


def test_scripts_and_libraries() -> None:
    found = loaded(process(mapped=[b"/x/lib.so"], argv=[b"run.py", b"--lr"], cwd=b"/p"))
    assert found == [Loaded(b"/p/run.py", "__main__"), Loaded(b"/x/lib.so", is_library=True)]


def test_the_script_of_a_program_that_says_nothing(tmp_path: Path) -> None:
    for name in ("run.sh", "prog", "env/bin/tool", "out/prog"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\x7fELF" if name.endswith("prog") else b"#!/bin/sh\n")
    (tmp_path / "env/pyvenv.cfg").write_text("")
    (tmp_path / "link").symlink_to("/bin/sh")
    here = os.fsencode(tmp_path)
    assert loaded(command=["./run.sh"], cwd=here) == [Loaded(here + b"/./run.sh")]
    assert loaded(command=["./prog"], cwd=here) == [Loaded(here + b"/./prog", is_library=True)]
    assert loaded(command=["./prog"], cwd=here + b"/out", worktree=here + b"/env") == [], "a program of the machine"
    assert loaded(command=["./link"], cwd=here) == loaded(command=["env/bin/tool"], cwd=here) == []
    assert loaded(command=["bash", "-eu", "run.sh", "data"], cwd=here) == [Loaded(here + b"/run.sh", "__main__")]
    assert loaded(command=["python3.11", "-I", "x.py"], cwd=here) == [Loaded(here + b"/x.py", "__main__")]
    assert loaded(command=["sh", "-c", "exit 1"], cwd=here) == []
    assert loaded(command=["cat", "data"], cwd=here) == []


def test_where_a_command_started() -> None:
    assert started_in({"worktree": "/w/repo", "cwd": "a/b"}) == b"/w/repo/a/b"
    assert started_in({"worktree": "/w/repo", "cwd": "/tmp"}) == b"/tmp"
    assert started_in({}) == b"/"
