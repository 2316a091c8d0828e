"""Runs of a real environment, sealed by hand: an index has some of its packages, the store the others."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.run import Run
from gitrun.archive.seal import Part
from gitrun.capture.environment import capture_environment
from gitrun.capture.lock.answers import Answers
from gitrun.capture.lock.making import Options, Subject, make_lock
from gitrun.capture.lock.pylock import encode_pylock
from gitrun.capture.lock.resolver import find_uv
from gitrun.capture.lock.sources import Source
from gitrun.capture.program import find_program
from gitrun.model.canonical import encode, encode_line
from gitrun.replay.environments import Built, rebuild
from gitrun.store.blobs import BlobStore
from tests.hand import Hand
from tests.package_index import Installation, PackageIndex

RUN_ID = "20261124-061246-abcdef"
FROM_FILES = json.dumps({"url": "file:///src/private", "dir_info": {}})


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The only index there is."""
    server = PackageIndex()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "5")
    yield server
    server.close()


@pytest.fixture(params=["uv", "pip"])
def tool(request: pytest.FixtureRequest) -> str:
    """Each installer, where it is there."""
    if request.param == "uv" and find_uv(os.environ, None) is None:
        pytest.skip("uv is not installed")
    return str(request.param)


class Lab:
    """One repository with one run, of which only the environment matters."""

    def __init__(self, hand: Hand, installation: Installation, index: PackageIndex) -> None:
        self.hand = hand
        self.installation = installation
        self.index = index

    def seal(self, *, vendor: str = "missing", lock: bool = True, change: Any = None, **more: Any) -> None:
        """Record the installation as it is now; `change` may alter what environment.json says."""
        program = find_program([os.fsencode(self.installation.python)], {}, b"/")
        found = capture_environment(program, b"/", None)
        value = found.value if change is None else change(json.loads(encode(found.value)))
        assert found.interpreter is not None
        files = {name: data for files in self.index.files.values() for name, data in files.items()}
        parts: dict[str, bytes] = {"environment.json": encode(value)}
        facts: dict[str, Any] = {"state": "none", "reason": "nobody made one", "missing": [], "vendored": []}
        if lock:
            sources = [Source("pylock.toml", self._project(files))]
            digest, prefix = hashlib.sha256(encode(value)).hexdigest(), str(self.installation.prefix)
            scratch = self.hand.gitrun_dir
            subject = Subject(value, digest, self.installation.python, prefix, {}, b"/", sources, scratch)
            with ExitStack() as stack:
                store = BlobStore(self.hand.gitrun_dir)
                made = make_lock(
                    subject, Options(resolver="none", vendor=vendor), Answers(None),
                    lambda: stack.enter_context(store.session()), lambda: False, lambda made: None,
                )  # fmt: skip
            facts = made.lock
            if made.pylock is not None:
                parts["pylock.toml"] = made.pylock
                parts["vendored.jsonl"] = b"".join(encode_line(line) for line in made.vendored)
        record = {"interpreter": found.interpreter, "worktree": str(self.hand.root), "cwd": ".", **more}
        self.hand.seal(RUN_ID, {name: Part(data) for name, data in parts.items()}, lock=facts, **record)

    def _project(self, files: dict[str, bytes]) -> bytes:
        """The project's own lockfile: what the index has."""
        packages = []
        for name, data in sorted(files.items()):
            stem, version = name.split("-")[:2]
            url = f"http://{self.index.address}/files/simple/{name}"
            wheel = {"name": name, "url": url, "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
            packages.append({"name": stem.replace("_", "-"), "version": version, "wheels": [wheel]})
        return encode_pylock(packages, None)

    @property
    def run(self) -> Run:
        found = self.hand.open().run(RUN_ID)
        assert found is not None
        return found

    def rebuild(self, **options: Any) -> Built:
        """The environment of the run, its lock let go of."""
        with self.hand.open() as archive:
            built = rebuild(archive, self.run, **options)
        assert built is not None
        if built.hold is not None:
            built.hold.release()
        return built


@pytest.fixture
def lab(hand: Hand, tmp_path: Path, index: PackageIndex) -> Lab:
    return Lab(hand, Installation(tmp_path / "venv"), index)


@pytest.fixture
def said() -> Callable[[Built, str], str]:
    """What a program prints in a built environment."""
    import subprocess

    def run(built: Built, code: str) -> str:
        assert built.python is not None
        environ = {**os.environ, **dict(built.variables)}
        return subprocess.run(
            [built.python, "-c", code], capture_output=True, text=True, check=True, env=environ
        ).stdout

    assert sys.version_info >= (3, 11)
    return run
