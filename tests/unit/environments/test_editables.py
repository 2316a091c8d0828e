"""Distributions edited in place: their source is where the caller says, their metadata and scripts are built."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.replay.environments import create, editables, rebuild
from gitrun.replay.environments.editables import VARIABLE, moved
from tests.hand import Hand
from tests.package_index import Installation, PackageIndex, make_wheel
from tests.unit.environments.conftest import RUN_ID, Lab

PROJECT = """
[project]
name = "mine"
[project.scripts]
train = "mine.main:run"
"../evil" = "mine.main:run"
bad = "import os; os.system('true')"
[project.entry-points."mine.plugins"]
one = "mine.plugin"
"""


@pytest.fixture
def edited(hand: Hand, tmp_path: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A project in its worktree, installed to be edited; its source tree is what the record has."""
    lab = Lab(hand, Installation(tmp_path / "venv"), index)
    origin = json.dumps({"url": f"file://{hand.root}/sub%20dir", "dir_info": {"editable": True}})
    lab.installation.install(make_wheel("mine", "3.0", files={"mine.pth": "/nowhere\n"}), direct=origin)
    source = hand.root / "sub dir"
    (source / "src/mine").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "src/mine/__init__.py").write_text("")
    (source / "src/mine/main.py").write_text("def run():\n    print('trained', __file__)\n")
    for words in (("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=hand.root, check=True)
    tree = subprocess.run(
        ["git", "rev-parse", "HEAD^{tree}"], cwd=hand.root, check=True, capture_output=True, text=True
    )
    lab.seal()
    recorded = lab.run.record
    recorded["source"]["tree"] = tree.stdout.strip()
    monkeypatch.setattr(Archive, "run", lambda archive, run_id: lab_run(archive, run_id, recorded))
    return lab


_RUN = Archive.run


def lab_run(archive: Archive, run_id: str, record: dict[str, Any]) -> Any:
    """The run, with the source tree of the project."""
    run = _RUN(archive, run_id)
    if run is not None:
        run._record = record
    return run


def test_the_same_environment_serves_any_place(edited: Lab, tmp_path: Path) -> None:
    place = tmp_path / "checkout"
    subprocess.run(["cp", "-r", str(edited.hand.root), str(place)], check=True)
    with edited.hand.open() as archive:
        run = archive.run(RUN_ID)
        assert run is not None
        first = rebuild(archive, run, places={str(edited.hand.root): str(place)})
        second = rebuild(archive, run, places={str(edited.hand.root): str(edited.hand.root)})
        third = rebuild(archive, run)
    assert first is not None and second is not None and third is not None and first.directory is not None
    assert first.level == "same build" and first.directory == second.directory and second.cached
    assert "mine" in third.notes[0] and dict(third.variables) == {VARIABLE: ""}, "never the user's tree unasked"
    for built, where in ((first, place), (second, edited.hand.root)):
        done = subprocess.run(
            [f"{first.directory}/bin/train"],
            env={**os.environ, **dict(built.variables)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"trained {where}/sub dir/src/mine/main.py\n"
    assert first.python is not None
    code = "from importlib.metadata import distribution as d; print(d('mine').version, d('mine').entry_points)"
    done = subprocess.run([first.python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3.0 ") and "mine.plugins" in done.stdout
    assert not {"bad", "../evil"} & set(os.listdir(f"{first.directory}/bin"))
    assert not os.path.exists(f"{first.directory}/evil")


def test_an_environment_of_the_users_has_the_place_in_it(edited: Lab, tmp_path: Path) -> None:
    with edited.hand.open() as archive:
        run = archive.run(RUN_ID)
        assert run is not None
        here = {str(edited.hand.root): str(edited.hand.root)}
        built = create(archive, run, str(tmp_path / "mine"), places=here)
    assert built is not None and built.notes == () and built.python is not None
    done = subprocess.run([built.python, "-m", "mine.main"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_longest_place_counts() -> None:
    places = {"/a": "/x", "/a/b": "/y"}
    assert [moved(path, places) for path in ("/a", "/a/c", "/a/b/c", "/ab")] == ["/x", "/x/c", "/y/c", None]
    assert editables.VARIABLE.startswith("GITRUN_")
