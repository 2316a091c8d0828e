"""What every test stands on: a world of its own, real repositories, and gitrun as a real process.

A test that reads the developer's ~/.gitconfig passes on one machine only, and a test that writes
there does harm. So before each test the environment is emptied of everything Git, gitrun or the
desktop would read, and HOME and TMPDIR point into the test's own directory. Identity is unset on
purpose: the `git` fixture brings one of its own for its own commits, and gitrun has to do without.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Argument = str | bytes | os.PathLike[str]
Content = str | bytes

LEAKS = (
    "GIT_",
    "GITRUN_",
    "XDG_",
    "SLURM_",
    "WANDB_",
    "PYTEST_ADDOPTS",
    "COLUMNS",
    "NO_COLOR",
    "CLICOLOR",
    "FORCE_COLOR",
)
AUTHOR = ("-c", "user.name=Test Author", "-c", "user.email=author@example.org")
QUIET_GIT = ("-c", "commit.gpgSign=false", "-c", "advice.detachedHead=false", "-c", "protocol.file.allow=always")


class Result(NamedTuple):
    """A finished process: its exit code (negative for a signal) and what it wrote."""

    code: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    args: Sequence[Argument]

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "surrogateescape")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "surrogateescape")

    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.stdout_bytes)


def _run(
    args: Sequence[Argument], cwd: Argument | None, env: Mapping[str, str] | None, input: Content, timeout: float
) -> Result:
    """Run to the end; `env` is laid over the test's own environment, a value of "" removes."""
    environ = {**os.environ, **(env or {})}
    environ = {name: value for name, value in environ.items() if value != ""}
    data = input.encode() if isinstance(input, str) else input
    done = subprocess.run(args, cwd=cwd, env=environ, input=data, capture_output=True, timeout=timeout)
    return Result(done.returncode, done.stdout, done.stderr, args)


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own HOME, TMPDIR and Git configuration; returns the directory that holds them."""
    root = tmp_path / ".world"
    for name in list(os.environ):
        if name.startswith(LEAKS) or name in ("EMAIL", "PYTHONPATH", "PYTHONSTARTUP"):
            monkeypatch.delenv(name)
    for name in ("home", "tmp", "config", "cache", "data", "state", "runtime"):
        (root / name).mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("TMPDIR", str(root / "tmp"))
    for name in ("config", "cache", "data", "state"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(root / name))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root / "runtime"))
    (root / "gitconfig").write_bytes(b"")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(root / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("GITRUN_LOCK_RESOLVER", "none")  # no test asks the internet
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    yield root


@pytest.fixture
def git() -> Callable[..., Result]:
    """`git("commit", "-m", "x", cwd=repo)`: the real git with an identity; fails the test unless check=False."""

    def call(
        *args: Argument,
        cwd: Argument | None = None,
        env: Mapping[str, str] | None = None,
        input: Content = b"",
        check: bool = True,
    ) -> Result:
        done = _run(["git", *AUTHOR, *QUIET_GIT, *args], cwd, env, input, 120)
        assert not check or done.code == 0, f"git {args!r} ended with {done.code}: {done.stderr}"
        return done

    return call


@pytest.fixture
def make_repo(tmp_path: Path, git: Callable[..., Result]) -> Callable[..., Path]:
    """`make_repo({"train.py": "…"}, name="repo")`: a real repository with one commit of these files.

    Content is text or bytes; a path may be bytes; a value that is a Path becomes a symbolic link
    to it. `commit=False` leaves the files untracked; `init` holds further words for `git init`.
    """

    def make(
        files: Mapping[str | bytes, Content | Path] | None = None,
        *,
        name: str = "repo",
        commit: bool = True,
        init: Sequence[str] = (),
    ) -> Path:
        root = tmp_path / name
        git("init", "-q", "-b", "main", *init, str(root))
        write_files(root, {"train.py": "print('trained')\n"} if files is None else files)
        if commit:
            git("add", "-A", cwd=root)
            git("commit", "-q", "--allow-empty", "-m", "first", cwd=root)
        return root

    return make


def write_files(root: Path, files: Mapping[str | bytes, Content | Path]) -> None:
    """Write files below `root`, making directories; a Path value becomes a symbolic link."""
    for name, content in files.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, Path):
            os.symlink(os.fsencode(content), path)
            continue
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def gitrun() -> Callable[..., Result]:
    """`gitrun("record", "--", "true", cwd=repo)`: gitrun as a process of its own; never raises on an exit status."""

    def call(
        *args: Argument,
        cwd: Argument | None = None,
        env: Mapping[str, str] | None = None,
        input: Content = b"",
        timeout: float = 120,
    ) -> Result:
        return _run([sys.executable, "-m", "gitrun", *args], cwd, env, input, timeout)

    return call


@pytest.fixture
def no_git(world: Path) -> dict[str, str]:
    """An `env` for the `gitrun` fixture in which no git executable can be found."""
    bin_dir = world / "bin"
    bin_dir.mkdir()
    for name in ("sh", "env", "cat", "true", "false", "sleep", "echo", "ls", "head", "seq", "touch", "rm", "mkdir"):
        found = shutil.which(name)
        if found:
            (bin_dir / name).symlink_to(found)
    for name in ("python", "python3"):
        # a script rather than a link: a link out of a virtual environment would lose the environment
        (bin_dir / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (bin_dir / name).chmod(0o755)
    return {"PATH": str(bin_dir), "GITRUN_GIT_EXECUTABLE": "none"}


@pytest.fixture(params=["git", "no-git"])
def with_and_without_git(request: pytest.FixtureRequest) -> dict[str, str]:
    """Runs a test twice: with the git executable and without one; an `env` for the `gitrun` fixture."""
    return request.getfixturevalue("no_git") if request.param == "no-git" else {}


@pytest.fixture
def hand(make_repo: Callable[..., Path]) -> Any:
    """A `tests.hand.Hand` on a fresh repository: it seals records without running anything."""
    from tests.hand import Hand  # only its users pay for importing the archive

    return Hand(make_repo())


@pytest.fixture
def call(
    hand: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Result]:
    """`call("ls", "--json")`: one command in the repository, with what it printed."""
    from gitrun.cli.app import main  # and for typer

    monkeypatch.chdir(hand.root)

    def run(*arguments: str) -> Result:
        capfdbinary.readouterr()
        code = main(list(arguments))
        out, err = capfdbinary.readouterr()
        return Result(code, out, err, arguments)

    return run
