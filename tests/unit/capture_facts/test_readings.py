"""Which of the named files are what a run read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.observed import Observed, Opened, Process
from gitrun.capture.readings import Belongings, named_paths, readings
from gitrun.capture.whereabouts import Territory, Whereabouts
from tests.conftest import write_files

FOREVER = float("inf")


def process(*opened: tuple[str, str], cwd: str = "/place") -> Process:
    files = [Opened(os.fsencode(path), mode) for path, mode in opened]
    return Process(1, 0, {"cwd": os.fsencode(cwd)}, [], [], [], files, {}, {}, True)


@pytest.mark.parametrize(
    ("processes", "read", "rewritten"),
    [
        ([process(("a", "r"), ("/b/../c", "r"))], {"/place/a", "/c"}, set()),
        ([process(("a", "w"), ("a", "r"))], set(), set()),  # its own product
        ([process(("a", "r"), ("a", "w"))], {"/place/a"}, {"/place/a"}),
        ([process(("a", "w")), process(("a", "r"))], set(), set()),  # one process made it for another
        ([process(("a", "r")), process(("a", "w"))], set(), set()),  # who was first is not known
        ([process(("a", "r"), ("a", "w")), process(("a", "w"))], set(), set()),
    ],
)
def test_what_was_read_before_anything_wrote_it(processes: list[Process], read: set[str], rewritten: set[str]) -> None:
    found = readings(Observed(processes, []), b"/elsewhere")
    assert {os.fsdecode(path) for path in found.read} == read
    assert {os.fsdecode(path) for path in found.rewritten} == rewritten
    assert not found.rewritten - found.written


def test_values_and_words_that_are_paths(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(("a.csv", "b.csv", "c.csv", "d.csv", "conf.yaml", "adam"), ""))
    config: dict[str, Any] = {
        "values": {"data": "a.csv", "nested": {"more": ["b.csv", 3]}, "lr": 0.1, "odd": "x\0y", "long": "y" * 9999},
        "positional": ["c.csv"],
        "files": [{"path": "conf.yaml", "note": None}, {"path": "gone.yaml", "note": "no such file"}, 7],
    }
    cwd = os.fsencode(tmp_path)
    found = named_paths(config, ["d.csv", "--in=d.csv", "--opt", "adam", "none"], cwd, cwd)
    names = sorted(os.fsdecode(os.path.basename(path)) for path in found)
    assert names == ["a.csv", "adam", "b.csv", "c.csv", "conf.yaml", "d.csv"]
    assert named_paths({"values": 3, "files": {}}, ["program"], cwd, None) == set()


@pytest.fixture
def belongings(tmp_path: Path) -> Belongings:
    write_files(tmp_path, {"env/pyvenv.cfg": "", "prefix/bin/x": ""})
    worktree = os.fsencode(tmp_path / "repo")
    prefixes = [os.fsencode(tmp_path / name) for name in ("env", "prefix")]
    whereabouts = Whereabouts(Territory(worktree, [(1, b"/roots/one")], prefixes), lambda sites: lambda path: True)
    return Belongings(whereabouts, [os.fsencode(tmp_path / "repo/.git/gitrun")], prefixes)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("{}/repo/data.csv", True), ("{}/repo/deep/data.csv", True), ("{}/elsewhere.csv", True), ("/roots/one/d", True),
        ("/etc/passwd", False), ("/usr/share/zoneinfo/UTC", False), ("/run/x", False), ("/opt/data/x.csv", True),
        ("{}/env/share/jupyter/kernel.json", False), ("{}/prefix/bin/x", False), ("{}/prefix/data.csv", True),
        ("{}/repo/.git/config", False), ("{}/repo/__pycache__/x", False), ("{}/.cache/pip/x", False),
        ("{}/.cache/huggingface/hub/model.bin", True), ("{}/repo/.git/gitrun/config.json", False),
        ("/x/lib/python3.11/site-packages/owned/data.json", False),
    ],
)  # fmt: skip
def test_what_can_be_an_input(belongings: Belongings, tmp_path: Path, path: str, is_one: bool) -> None:
    assert (belongings.where(os.fsencode(path.format(tmp_path))) is not None) is is_one


def test_files_beside_each_other_are_each_where_they_are(belongings: Belongings, tmp_path: Path) -> None:
    for name in (b"a", b"b"):
        where = belongings.where(os.fsencode(tmp_path) + b"/repo/deep/" + name)
        assert where is not None and where.path == b"deep/" + name and where.at.endswith(b"/repo/deep/" + name)
    top = belongings.where(os.fsencode(tmp_path) + b"/repo/a")
    assert top is not None and top.path == b"a"


def test_a_directory_that_was_written_into_or_says_nothing_is_none(belongings: Belongings, tmp_path: Path) -> None:
    write_files(tmp_path, {"d/1": "", "d/e/2": "", "d/__pycache__/3": ""})
    now = max(os.stat(tmp_path / name).st_mtime_ns for name in ("d", "d/e"))
    directory = os.fsencode(tmp_path / "d")

    def below(*, too_wide: list[bytes], written_ns: int = now + 1) -> list[bytes] | None:
        return belongings.files_of(directory, too_wide, written_ns, FOREVER)

    assert below(too_wide=[b"/other"]) == [directory + b"/1", directory + b"/e/2"]
    assert below(too_wide=[directory]) is below(too_wide=[directory + b"/e/made"]) is None
    assert below(too_wide=[], written_ns=now - 1) is None
    (tmp_path / "d/e/pyvenv.cfg").write_text("")
    assert below(too_wide=[], written_ns=now + 10**12) is None
