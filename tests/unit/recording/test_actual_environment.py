"""The environment that a run really had is described where a Python process has said so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.observed import Observed, Process
from gitrun.capture.secrets import Redactor
from gitrun.recording.actual_environment import describe_libraries, has_spoken, settle_environment
from gitrun.recording.live import LiveDirectory
from gitrun.recording.locking import STATE
from tests.conftest import write_files
from tests.unit.capture_facts.test_environment import install
from tests.unit.capture_facts.test_native import made

RUN = "20260102-030405-abcdef"
WORKTREE = "/nowhere/repo"


@pytest.fixture
def live(tmp_path: Path) -> LiveDirectory:
    return LiveDirectory.create(str(tmp_path / "gitrun"), RUN, {"format": 1})[0]


def make_python(root: Path, *distributions: str) -> Path:
    write_files(root, {"bin/python3.9": "3.9.4\0"})
    site = root / "lib/python3.9/site-packages"
    site.mkdir(parents=True)
    for name in distributions:
        install(site, name, "1")
    return root


def process(root: Path, argv: bytes = b"train.py", pid: int = 7, **fields: Any) -> Process:
    prefix = os.fsencode(root)
    start = {
        "executable": prefix + b"/bin/python3.9", "prefix": prefix, "base_prefix": prefix, "version": "3.9.4",
        "implementation": "cpython", "path": [b"/nowhere/repo", prefix + b"/lib/python3.9/site-packages"],
        "argv": [argv], "cwd": b"/nowhere/repo", **fields,
    }  # fmt: skip
    return Process(pid, 1, start, configs=[], modules=[], mapped=[], opened=[], seeds={}, numerics={}, complete=True)


def draft_of(root: Path | None = None) -> dict[str, Any]:
    place = None
    if root is not None:
        place = {"executable": f"{root}/bin/python3.9", "prefix": str(root), "base_prefix": str(root)}
    sites = [] if root is None else [f"{root}/lib/python3.9/site-packages"]
    return {
        "worktree": WORKTREE, "cwd": ".", "interpreter": place, "live": {"sites": sites}, "coverage": {},
        "process": {"variables": {}}, "lock": {"state": "resolved"},
    }  # fmt: skip


def settle(live: LiveDirectory, draft: dict[str, Any], *processes: Process) -> Any:
    return settle_environment(live, draft, Observed(list(processes), []), os.path.dirname(os.path.dirname(live.path)))


def names(live: LiveDirectory) -> list[str] | None:
    path = live.part_paths().get("environment.json")
    return None if path is None else [each["name"] for each in json.loads(Path(path).read_bytes())["distributions"]]


def test_what_was_expected_stays_as_it_is(live: LiveDirectory, tmp_path: Path) -> None:
    root = make_python(tmp_path / "env", "a")
    draft = draft_of(root)
    assert settle(live, draft, process(root)) is None and settle(live, draft) is None
    assert names(live) is None and draft == draft_of(root)
    (tmp_path / "link").symlink_to(root)
    assert settle(live, draft, process(tmp_path / "link")) is None


@pytest.mark.parametrize("expected", [False, True], ids=["no Python", "another Python"])
def test_another_python_is_described_and_what_was_locked_is_not_its_lock(
    live: LiveDirectory, tmp_path: Path, expected: bool
) -> None:
    root = make_python(tmp_path / "env", "a", "b")
    draft = draft_of(make_python(tmp_path / "other", "c") if expected else None)
    state = Path(live.path, STATE)
    state.write_text("{}")
    assert settle(live, draft, process(root)) == "complete"
    assert names(live) == ["a", "b"] and draft["interpreter"]["prefix"] == str(root)
    assert draft["lock"]["state"] == "none" and "gitrun lock" in draft["lock"]["reason"] and not state.exists()


def test_packages_in_a_place_that_nobody_expected(live: LiveDirectory, tmp_path: Path) -> None:
    root = make_python(tmp_path / "env", "a")
    site = tmp_path / "strange/site-packages"
    install(site, "b", "1")
    path = [b"", os.fsencode(site), os.fsencode(root / "lib/python3.9/site-packages"), b"/gone/site-packages"]
    draft = draft_of(root)
    assert settle(live, draft, process(root, path=[*path[2:]])) is None
    assert settle(live, draft, process(root, path=path)) == "complete" and names(live) == ["a", "b"]


def test_a_tool_that_chooses_an_environment_is_not_the_program(live: LiveDirectory, tmp_path: Path) -> None:
    base, env = make_python(tmp_path / "base", "conda"), make_python(tmp_path / "env", "a")
    for argv in (b"/opt/conda/bin/conda", b"/x/site-packages/poetry/__main__.py"):
        draft = draft_of(base)
        assert settle(live, draft, process(base, argv), process(env, pid=8)) == "complete"
        assert names(live) == ["a"] and draft["interpreter"]["prefix"] == str(env)
    assert settle(live, draft_of(base), process(base, b"conda")) is None, "it was the program itself"


def test_a_process_has_spoken_when_it_is_the_program_and_has_said_all(tmp_path: Path) -> None:
    root = make_python(tmp_path / "env")
    tool, program = process(root, b"/opt/conda/bin/conda"), process(root, pid=8)
    half = program._replace(start={name: value for name, value in program.start.items() if name != "argv"})
    said = [has_spoken(Observed(found, [])) for found in ([], [tool], [half], [tool, half], [tool, program])]
    assert said == [False, False, False, False, True]


def test_what_is_compared_later_is_the_environment_that_was_found(live: LiveDirectory, tmp_path: Path) -> None:
    root = make_python(tmp_path / "env", "a")
    draft = draft_of(make_python(tmp_path / "other", "c"))
    settle(live, draft, process(root))
    assert draft["live"]["sites"] == [f"{root}/lib/python3.9/site-packages"]


def test_further_environments_are_named(live: LiveDirectory, tmp_path: Path) -> None:
    root, other = make_python(tmp_path / "env", "a"), make_python(tmp_path / "other", "b")
    draft = draft_of(root)
    draft["coverage"]["environment"] = ["environment: something else"]
    said = settle(live, draft, process(root), process(other, pid=8))
    assert said[0] == "environment: something else" and str(other) in said[1] and len(said) == 2
    assert names(live) is None


def test_libraries_are_a_part_of_their_own(live: LiveDirectory, tmp_path: Path) -> None:
    root = make_python(tmp_path / "env")
    (root / "lib/libx.so").write_bytes(made())
    mapped = [os.fsencode(root / "lib/libx.so"), b"/gone/liby.so"]
    one = process(root)._replace(mapped=mapped)
    said = describe_libraries(live, draft_of(root), Observed([one, one], []), Redactor({}))
    assert said == ["1 mapped libraries were gone or replaced when the run had ended"]
    value = json.loads(Path(live.part_paths()["native.json"]).read_bytes())
    assert [(each["place"], each["path"]) for each in value["libraries"]] == [
        ("python", "lib/libx.so"), ("system", "/gone/liby.so"),
    ]  # fmt: skip
    assert describe_libraries(live, draft_of(root), Observed([process(root)], []), Redactor({})) is None
