"""A replay in the environment that was recorded, built again: the same result, or a precise word why not."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.lock.pylock import encode_pylock
from tests.package_index import Installation, PackageIndex, make_wheel

ALPHA = make_wheel("alpha", "1.0")
PROGRAM = "import alpha, sys\nopen('out.txt', 'w').write(alpha.version)\nprint(sys.prefix)\n"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The only index there is."""
    server = PackageIndex()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    yield server
    server.close()


@pytest.fixture
def recorded(make_repo: Any, gitrun: Callable[..., Any], index: PackageIndex) -> Path:
    """A repository with one run of an environment in its worktree, by the project's lockfile, which is gone by now."""
    digest = index.add(ALPHA)
    wheel = {"name": ALPHA[0], "url": f"http://{index.address}/files/simple/{ALPHA[0]}", "hashes": {"sha256": digest}}
    lock = encode_pylock([{"name": "alpha", "version": "1.0", "wheels": [wheel]}], None)
    assert hashlib.sha256(ALPHA[1]).hexdigest() == digest
    repo: Path = make_repo({"train.py": PROGRAM, ".gitignore": ".venv\n", "pylock.toml": lock})
    installation = Installation(repo / ".venv")
    installation.install(ALPHA)
    done = gitrun("record", "-q", "--", ".venv/bin/python", "train.py", cwd=repo)
    assert done.code == 0, done.stderr
    return repo


def test_a_replay_has_the_environment_again(recorded: Path, gitrun: Any, index: PackageIndex) -> None:
    shutil.rmtree(recorded / ".venv")
    done = gitrun("replay", "@", "--json", cwd=recorded)
    verdict = done.json()
    assert (done.code, verdict["verdict"], verdict["environment"]) == (0, "bit", {}), verdict
    index.close()
    assert gitrun("replay", "@", cwd=recorded).code == 0


def test_without_its_wheel_nothing_is_started(recorded: Path, gitrun: Any, index: PackageIndex) -> None:
    shutil.rmtree(recorded / ".venv")
    index.files["simple"].clear()
    done = gitrun("replay", "@", "--json", cwd=recorded)
    verdict = done.json()
    assert (done.code, verdict["verdict"], verdict["replay"]) == (4, "unverifiable", None)
    assert "alpha==1.0 cannot be had any more" in verdict["causes"][0]


def test_a_wheel_one_version_off_is_not_the_environment(recorded: Path, gitrun: Any, index: PackageIndex) -> None:
    index.files["simple"].clear()
    shutil.rmtree(recorded / ".venv")
    Installation(recorded / ".venv").install(make_wheel("alpha", "1.1"))
    assert gitrun("replay", "@", cwd=recorded).code == 4
    done = gitrun("replay", "@", "--allow", "current", "--json", cwd=recorded)
    assert (done.code, done.json()["verdict"]) == (3, "differs")
    assert "alpha" in " ".join(done.json()["causes"])
