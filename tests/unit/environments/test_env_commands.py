"""`gitrun env`, `checkout --env`, and what `gc` says of built environments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitrun.replay.environments import shelf_of
from tests.package_index import Installation, PackageIndex, make_wheel
from tests.unit.environments.conftest import FROM_FILES, Hand, Lab

ALPHA = make_wheel("alpha", "1.0")


@pytest.fixture
def inside(hand: Hand, index: PackageIndex) -> Lab:
    """A run whose environment lay in its worktree, and is gone; the store has all of it."""
    lab = Lab(hand, Installation(hand.root / ".venv"), index)
    lab.installation.install(ALPHA, direct=FROM_FILES)
    lab.seal()
    shutil.rmtree(lab.installation.prefix)
    return lab


def test_what_it_is_and_whether_it_can_be_had(inside: Lab, gitrun: Any) -> None:
    root = inside.hand.root
    said = gitrun("env", "abcdef", "--json", cwd=root).json()
    assert said["available"] == "can be built" and said["level"] == "same build" and said["distributions"] == 1
    assert said["lock"]["vendored"] == ["alpha"] and said["reason"] is None
    page = gitrun("env", "abcdef", cwd=root).stdout
    assert "can be built (same build)" in page and "next       gitrun env abcdef --create DIR" in page
    built = inside.rebuild()
    said = gitrun("env", "abcdef", "--json", cwd=root).json()
    assert (said["available"], said["directory"]) == ("kept", built.directory)


def test_it_is_created_and_only_its_directory_is_printed(inside: Lab, gitrun: Any, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    done = gitrun("env", "abcdef", "--create", str(target), cwd=inside.hand.root)
    assert (done.code, done.stdout) == (0, f"{target}\n") and "of the same build" in done.stderr
    again = gitrun("env", "abcdef", "--create", str(target), cwd=inside.hand.root)
    assert again.code == 1 and "is there already" in again.stderr
    assert gitrun("env", "abcdef", "--allow", "current", cwd=inside.hand.root).code == 2


def test_a_checkout_has_it_where_it_was(inside: Lab, gitrun: Any, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done = gitrun("checkout", "abcdef", str(target), "--env", cwd=inside.hand.root)
    assert (done.code, done.stdout) == (0, f"{target}\n"), done.stderr
    words = [target / ".venv/bin/python", "-c", "import alpha; print(alpha.version)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "1.0\n"
    status = subprocess.run(["git", "status", "--short"], cwd=target, capture_output=True, text=True, check=True)
    assert ".venv" not in status.stdout


def test_a_checkout_whose_environment_cannot_be_built_says_where_the_files_are(
    lab: Lab, gitrun: Any, tmp_path: Path
) -> None:
    lab.installation.install(ALPHA)
    lab.seal(lock=False)
    target = tmp_path / "out"
    done = gitrun("checkout", "abcdef", str(target), "--env", cwd=lab.hand.root)
    assert done.code == 1 and "no lockfile" in done.stderr and f"the files are in {target}" in done.stderr
    assert (target / "train.py").exists() and not os.path.exists(f"{target}.env")
    said = gitrun("env", "abcdef", "--json", cwd=lab.hand.root).json()
    assert (said["available"], said["directory"]) == ("in place", str(lab.installation.prefix))


def test_gc_takes_old_ones(inside: Lab, gitrun: Any) -> None:
    built = inside.rebuild()
    assert built.directory is not None
    complete = Path(built.directory).parent / "complete.json"
    assert "environment" not in gitrun("gc", cwd=inside.hand.root).stderr
    os.utime(complete, (1, 1))
    assert "1 built environment would be let go of" in gitrun("gc", "--dry-run", cwd=inside.hand.root).stderr
    assert "1 built environment let go of" in gitrun("gc", cwd=inside.hand.root).stderr
    with inside.hand.open() as archive:
        assert os.listdir(shelf_of(archive)) == []
