"""Every way a command can end badly: a message and a status, never a traceback for the expected."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from gitrun.cli.fast import Lines
from gitrun.cli.problems import guarded
from gitrun.errors import GitrunError, UsageError


def raising(problem: BaseException) -> NoReturn:
    raise problem


def test_an_expected_problem(capsys: pytest.CaptureFixture[str]) -> None:
    problem = GitrunError("it broke\x1b[31m", kept="the rest", next="gitrun ls")
    assert guarded(lambda: raising(problem)) == 1
    assert capsys.readouterr().err == "gitrun: it broke\\e[31m\n  kept: the rest\n  next: gitrun ls\n"


def test_a_recorder_prints_no_escapes_either(capfd: pytest.CaptureFixture[str]) -> None:
    Lines(quiet=True).warn("E001", "it broke\x1b[31m\nforged")
    assert capfd.readouterr().err == "gitrun: it broke\\e[31m\\nforged\n"


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (UsageError("no"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(errno.EACCES, "Permission denied", "/x"), 1),
        (RuntimeError("oops"), 70),
    ],
)
def test_statuses(problem: BaseException, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: raising(problem)) == status


def test_a_bug_leaves_its_traceback_in_the_archive(
    make_repo: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = make_repo()  # type: ignore[operator]
    monkeypatch.chdir(repo)
    assert guarded(lambda: raising(RuntimeError("oops"))) == 70
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "a bug in gitrun: RuntimeError: oops" in said
    (log,) = Path(repo, ".git", "gitrun", "log").iterdir()
    assert str(log) in said
    assert "RuntimeError: oops" in log.read_text()


def test_a_bug_outside_a_repository_shows_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: raising(RuntimeError("oops"))) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_broken_pipe_is_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert guarded(lambda: stream.write("x" * 100_000) or 0) == 141
    assert capsys.readouterr().err == ""


def test_a_traceback_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery-9")
    assert guarded(lambda: raising(RuntimeError("not correct-horse-battery-9"))) == 70
    said = capsys.readouterr().err
    assert "not <secret:MY_TOKEN>" in said and "battery" not in said
