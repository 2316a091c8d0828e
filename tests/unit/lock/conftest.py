"""An index and an environment for the tests of this directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.environment import capture_environment
from gitrun.capture.lock.making import Subject
from gitrun.capture.lock.resolver import find_uv
from gitrun.capture.lock.sources import find_sources
from gitrun.capture.program import find_program
from tests.package_index import Installation, PackageIndex


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    """A package index on the loopback."""
    server = PackageIndex()
    yield server
    server.close()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An empty virtual environment."""
    return Installation(tmp_path / "venv")


@pytest.fixture
def asking(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The environment of a user whose only index is the test's own, for pip and for uv."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "5")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return dict(os.environ)


@pytest.fixture(params=["uv", "pip"])
def tool(request: pytest.FixtureRequest) -> str:
    """Each resolver, where it is installed."""
    if request.param == "uv" and find_uv(os.environ, None) is None:
        pytest.skip("uv is not installed")
    return str(request.param)


@pytest.fixture
def subject(installation: Installation, tmp_path: Path) -> Callable[..., Subject]:
    """What `make_lock` is asked to lock: the installation as it is now."""

    def make(environ: Mapping[str, str], project: Path | None = None) -> Subject:
        cwd = os.fsencode(project or tmp_path)
        program = find_program([os.fsencode(installation.python), b"-c", b"1"], environ, cwd)
        found = capture_environment(program, cwd, None)
        place: dict[str, Any] = found.interpreter or {}
        return Subject(
            found.value, found.digest(), place["executable"], place["prefix"], environ, cwd,
            find_sources(cwd, cwd) if project else [], str(tmp_path),
        )  # fmt: skip

    return make
