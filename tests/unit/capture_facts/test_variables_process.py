"""The allow-list of variables, what a replay sets of them, and the facts of the process itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gitrun.capture import process
from gitrun.capture.process import capture_process, locale, stream_kind
from gitrun.capture.secrets import Redactor
from gitrun.capture.variables import IDENTITY, capture_variables, is_setting, replay_variables
from gitrun.model.canonical import decode, encode

RECORDED = (
    "PATH",
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
    "MKL_CBWR",
    "CUDA_VISIBLE_DEVICES",
    "LC_ALL",
    "TZ",
    "XLA_FLAGS",
)
LEFT_OUT = (
    "HOME",
    "USER",
    "SHELL",
    "SSH_AUTH_SOCK",
    "AWS_SECRET_ACCESS_KEY",
    "HF_TOKEN",
    "TF_VAR_db",
    "MY_OWN",
    "DATABASE_URL",
)


def test_only_listed_variables_are_recorded() -> None:
    environ = dict.fromkeys((*RECORDED, *LEFT_OUT, "SLURM_JOB_ID"), "1")
    facts = capture_variables(environ, Redactor(environ))
    assert set(facts.value) == {*RECORDED, "SLURM_JOB_ID"}


def test_the_user_adds_names_and_prefixes() -> None:
    environ = {"MY_A": "1", "MY_B": "2", "OTHER": "3", "PLAIN": "4"}
    assert capture_variables(environ, Redactor(environ), ["MY_*", "PLAIN"]).value == {
        "MY_A": "1",
        "MY_B": "2",
        "PLAIN": "4",
    }


def test_secrets_in_recorded_variables_are_replaced() -> None:
    environ = {
        "PYTHON_TOKEN": "abcdef123",
        "XLA_FLAGS": "--url=https://u:pw1@h --k=hunter2hunter2",
        "A_SECRET": "hunter2hunter2",
    }
    value = capture_variables(environ, Redactor(environ)).value
    assert value == {
        "PYTHON_TOKEN": "<secret:PYTHON_TOKEN>",
        "XLA_FLAGS": "--url=https://u:<secret:url>@h --k=<secret:A_SECRET>",
    }


def test_an_enormous_variable_is_named_and_left_out() -> None:
    environ = {"PATH": "x" * 100_000, "LANG": b"\xff".decode("utf-8", "surrogateescape")}
    facts = capture_variables(environ, Redactor(environ))
    assert "PATH" in facts.problems[0] and "PATH" not in facts.value
    assert decode(encode(facts.value)) == facts.value


def test_a_replay_sets_and_unsets_settings_only() -> None:
    recorded = {"OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "7", "PATH": "/then"}
    now = {"PATH": "/now", "OMP_PROC_BIND": "true", "SLURM_JOB_ID": "8", "HOME": "/h", "RANK": "3"}
    assert replay_variables(recorded, now).environ == {
        "OMP_NUM_THREADS": "1", "PATH": "/then", "SLURM_JOB_ID": "8", "HOME": "/h", "RANK": "3",
    }  # fmt: skip


def test_a_replay_takes_secrets_from_the_environment_or_names_them() -> None:
    recorded = {"PYTHON_TOKEN": "<secret:PYTHON_TOKEN>", "TORCH_KEY": "a<secret:url>b"}
    replayed = replay_variables(recorded, {"PYTHON_TOKEN": "now"})
    assert replayed.environ == {"PYTHON_TOKEN": "now"}
    assert replayed.missing == ["TORCH_KEY"]


def test_identity_is_never_a_setting() -> None:
    assert not [name for name in IDENTITY if is_setting(name)]


def test_kinds_of_streams(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    master, slave = os.openpty()
    null = os.open(os.devnull, os.O_RDONLY)
    file = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
    directory = os.open(tmp_path, os.O_RDONLY)
    one, two = socket.socketpair()
    assert [stream_kind(fd) for fd in (reader, slave, null, file, one.fileno(), directory)] == [
        "pipe", "tty", "null", "file", "socket", "other",
    ]  # fmt: skip
    for fd in (reader, writer, master, slave, null, file, directory):
        os.close(fd)
    assert stream_kind(reader) == "closed"
    one.close()
    two.close()


def test_size_of_the_first_terminal() -> None:
    import fcntl
    import struct
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    reader, writer = os.pipe()
    assert process.terminal((reader, slave, slave)) == {
        "stdin": "pipe", "stdout": "tty", "stderr": "tty", "columns": 101, "rows": 33,
    }  # fmt: skip
    for fd in (master, slave, reader, writer):
        os.close(fd)


def test_umask_is_read_without_changing_it() -> None:
    code = """
import os
from gitrun.capture.process import capture_process
os.umask(0o027)
print(capture_process({}, None).value["umask"], oct(os.umask(0)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0027", "0o27"]


@pytest.mark.parametrize(
    ("environ", "ctype", "numeric"),
    [
        ({}, "C", "C"),
        ({"LANG": "de_DE.UTF-8"}, "de_DE.UTF-8", "de_DE.UTF-8"),
        ({"LANG": "de_DE.UTF-8", "LC_NUMERIC": "C"}, "de_DE.UTF-8", "C"),
        ({"LC_ALL": "C.UTF-8", "LC_NUMERIC": "de_DE"}, "C.UTF-8", "C.UTF-8"),
        ({"LC_ALL": "", "LANG": ""}, "C", "C"),
    ],
)
def test_locale_in_force(environ: dict[str, str], ctype: str, numeric: str) -> None:
    assert (locale(environ)["LC_CTYPE"], locale(environ)["LC_NUMERIC"]) == (ctype, numeric)


def test_a_uid_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_123_456_789)
    assert process.user({"USER": "me"}) == {"uid": 4_123_456_789, "name": "me"}
    assert process.user({}) == {"uid": 4_123_456_789, "name": None}


@pytest.mark.parametrize(
    ("cwd", "told"),
    [(b"/r/x", "."), (b"/r/x/a\xff", "a\udcff"), (b"/r/xy", "/r/xy"), (b"/", "/"), (b"/r/x/a/../b", "b")],
)
def test_working_directory_relative_to_the_worktree(cwd: bytes, told: str) -> None:
    assert capture_process({}, b"/r/x", cwd=cwd).value["cwd"] == told


def test_a_worktree_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    told = capture_process({}, os.fsencode(tmp_path / "link"), cwd=os.fsencode(tmp_path / "real" / "sub"))
    assert told.value["cwd"] == "sub"


def test_a_working_directory_that_was_removed(tmp_path: Path) -> None:
    code = """
import os
os.rmdir(os.getcwd())
from gitrun.capture.process import capture_process
print(capture_process({}, None))"""
    (tmp_path / "gone").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "gone", env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "'cwd': None" in done.stdout and "working directory" in done.stdout
