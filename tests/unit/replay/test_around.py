"""What a repeated command finds around it on another machine, in a built environment, with an empty home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.entries import read_entries
from gitrun.replay.clean import cleaned, state_notes
from gitrun.replay.surroundings import Machine, Surroundings, as_on, turned

HERE = Machine(8, None, "Europe/Berlin")


def ran_with(threads: dict[str, Any], **variables: str) -> dict[str, Any]:
    return {"process": {"variables": variables, "observed": {"processes": [{"numerics": {"threads": threads}}]}}}


@pytest.mark.parametrize(
    ("record", "there", "wanted"),
    [
        (ran_with({"omp": 2, "openblas": 3}), HERE, {}),
        (
            ran_with({"omp": 2, "openblas": 3, "mkl": 4}),
            HERE._replace(usable_cores=2),
            {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "4"},
        ),
        (ran_with({"torch_intra": 2}), HERE._replace(quota_cores=2.0), {"OMP_NUM_THREADS": "2"}),
        (ran_with({"omp": 2}, OMP_NUM_THREADS="2"), HERE._replace(usable_cores=2), {}),
        (ran_with({"omp": "2", "openblas": 0}), HERE._replace(usable_cores=2), {}),
        ({}, HERE._replace(usable_cores=2), {}),
        ({}, HERE._replace(timezone="Asia/Tokyo"), {"TZ": "Asia/Tokyo"}),
        (ran_with({}, TZ="UTC"), HERE._replace(timezone="Asia/Tokyo"), {}),
        ({}, HERE._replace(timezone=None), {}),
    ],
)
def test_another_machine_is_made_up_for(record: dict[str, Any], there: Machine, wanted: dict[str, str]) -> None:
    variables, notes = as_on(record, there, HERE)
    assert variables == wanted
    assert [note.partition("=")[0] for note in notes] == list(wanted)


RECORDED = {"prefix": "/old/.venv", "executable": "/old/.venv/bin/python", "real": "/usr/bin/python3.11"}


def in_built(built: Path, *command: str, path: str = "/usr/bin:/bin") -> Surroundings:
    for name in ("python", "torchrun"):
        (built / "bin").mkdir(parents=True, exist_ok=True)
        (built / "bin" / name).touch()
    return turned(Surroundings(list(command), {"PATH": path}, [], []), RECORDED, str(built), "/old")


def test_words_of_the_recorded_environment_are_turned_to_the_built_one(tmp_path: Path) -> None:
    built = tmp_path / "built"
    for word, wanted in (
        ("/old/.venv/bin/python", "bin/python"),
        (".venv/bin/torchrun", "bin/torchrun"),
        ("/usr/bin/python3.11", "bin/python"),
    ):
        found = in_built(built, word, "x")
        assert found.command == [str(built / wanted), "x"]
        assert word in found.notes[0]
    assert in_built(built, ".venv/bin/gone").command == [".venv/bin/gone"]
    assert in_built(built, "/bin/sh").command == ["/bin/sh"]


def test_the_built_programs_take_the_place_on_path(tmp_path: Path) -> None:
    built = tmp_path / "built"
    found = in_built(built, "python", path="/a:/old/.venv/bin:/b")
    assert found.variables == {"PATH": f"/a:{built}/bin:/b", "VIRTUAL_ENV": str(built)}
    assert in_built(built, "python").variables["PATH"] == f"{built}/bin:/usr/bin:/bin"  # a shim had found it
    assert in_built(built, "./run.sh").variables == {"PATH": "/usr/bin:/bin"}
    same = turned(Surroundings(["python"], {"PATH": "/old/.venv/bin"}, [], []), RECORDED, "/old/.venv", "/old")
    assert same.variables == {"PATH": "/old/.venv/bin"}


def test_an_empty_home_keeps_certificates_indexes_and_who_one_is(tmp_path: Path) -> None:
    home = tmp_path / "users"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").touch()
    (home / ".gitconfig").touch()
    variables = {"HOME": str(home), "XDG_CACHE_HOME": "/c", "SSL_CERT_FILE": "/ca.pem", "UV_INDEX_URL": "http://x"}
    clean = cleaned(variables, str(tmp_path))
    assert clean == {
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INDEX_URL": "http://x",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "PIP_CONFIG_FILE": str(home / ".config/pip/pip.conf"),
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    assert os.listdir(clean["HOME"]) == os.listdir(clean["TMPDIR"]) == []


def test_state_is_named_with_and_without_clean() -> None:
    line = {"kind": "input", "mode": None, "bytes": 1, "stored": False, "reason": "input", "evidence": "observed"}
    lines = [{**line, "path": "/home/me/.cache/model"}, {**line, "path": "data/x"}, {**line, "path": "/data/y"}]
    named = {**line, "path": "/home/me/declared", "evidence": "declared"}
    entries = read_entries([*lines, named])
    (note,) = state_notes(entries, ["/home/me"], is_clean=False)
    assert ".cache/model" in note and "declared" not in note and "--clean tries it without" in note
    assert "empty home" in state_notes(entries, ["/home/me"], is_clean=True)[0]
    assert state_notes(entries, ["/home/other"], is_clean=True) == []
