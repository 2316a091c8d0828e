"""A recording that is really made, of a small program from the source as it is here, in an archive that is thrown away.

A list of requirements would age with every release and say nothing about the machine it is read on. So the whole way
is gone: snapshot, keeper, the child in the Python that is first on PATH, environment, hardware, seal. The record that
comes out says itself what is missing.

The archive of the trial lies in the directory of the real one, so that the same disk takes it, and borrows the
repository's objects, so that it costs what an ordinary recording costs. The same program runs without gitrun as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.capture.program import search
from gitrun.doctor.place import Place
from gitrun.doctor.probe import SECRET, Probe, write_probe
from gitrun.errors import GitrunError
from gitrun.files.write import make_dirs, write_file
from gitrun.git.repository import Repository
from gitrun.model.canonical import decode, decode_lines
from gitrun.monitor import Monitor
from gitrun.replay.removal import remove_tree
from gitrun.ui.console import read_console

_PATIENCE_S = 600.0
_UNSET = ("GITRUN_RUN_ID", "GITRUN_RUN_DIR", "GITRUN_MEMBER", "GITRUN_DISABLE", "GITRUN_RECORD_ON_PROBLEM")
_SHELL = ["sh", "-c", f'echo "the token is ${SECRET}"; exit 3']


class Outcome(NamedTuple):
    """How a process ended, and what it wrote."""

    code: int
    out: bytes
    err: bytes
    took_s: float


class Trial(NamedTuple):
    """A finished trial: `alone` is the same program without gitrun, `recorded` below it.

    `record` is what was sealed, None where nothing was, `parts` its parts by name. `python` is None where there is
    no Python on PATH, and then a shell has run.
    """

    probe: Probe
    python: str | None
    alone: Outcome
    recorded: Outcome
    record: dict[str, Any] | None = None
    parts: Mapping[str, bytes] = {}
    console: bytes = b""  # both streams as they are in the record
    errors: bytes = b""  # stderr alone

    def value(self, name: str) -> Any:
        """A JSON part, a list for `.jsonl`; None where there is none."""
        data = self.parts.get(name)
        return None if data is None else decode_lines(data) if name.endswith(".jsonl") else decode(data)


def try_recording(place: Place, cwd: str, monitor: Monitor) -> Trial:
    """Make the trial recording of a command started in `cwd`; nothing of it stays."""
    # a name under which what a killed examination left is swept away, as from a killed snapshot
    home = os.path.join(place.gitrun_dir, "cache", f"private-{os.getpid()}-{os.urandom(4).hex()}")
    with tempfile.TemporaryDirectory(prefix="gitrun-doctor-") as directory:
        try:
            make_dirs(home)
            probe = write_probe(os.path.realpath(directory))
            return _try(place, cwd, probe, home, monitor)
        finally:
            remove_tree(home, monitor)
            with suppress(OSError):  # it is in use, or was before
                os.rmdir(os.path.dirname(home))


def _try(place: Place, cwd: str, probe: Probe, home: str, monitor: Monitor) -> Trial:
    environ = {name: value for name, value in place.environ.items() if name not in _UNSET}
    environ[SECRET] = probe.secret
    python = find_python(environ, cwd)
    command = _SHELL if python is None else probe.words(python)
    ours = {
        **environ,
        "GITRUN_ARCHIVE": _scratch_archive(home, place.repo),
        "GITRUN_DIR": os.path.join(home, "gitrun"),
        "GITRUN_RECORD_ON_PROBLEM": "stop",
    }
    alone = _run(command, cwd, environ)
    recorded = _run([sys.executable, "-P", "-m", "gitrun", "record", "--quiet", "--", *command], cwd, ours)
    tried = Trial(probe, python, alone, recorded)
    with Archive.open(cwd, ours, monitor) as archive:
        run = next(archive.newest_first(), None)
        if run is None or run.is_live:
            return tried
        parts = {name: data for name in run.record.get("parts") or {} if (data := run.part(name)) is not None}
        pieces = [(stream, data) for stream, _, data in read_console(run) if stream]
        console, errors = (b"".join(data for stream, data in pieces if stream in kept) for kept in ((1, 2), (2,)))
        return tried._replace(record=run.record, parts=parts, console=console, errors=errors)


def find_python(environ: Mapping[str, str], cwd: str) -> str | None:
    """The Python that `python train.py` would run here, `python3` where there is no `python`."""
    for name in (b"python", b"python3"):
        found = search(name, environ, os.fsencode(cwd))
        if found is not None:
            return os.fsdecode(found)
    return None


def _run(command: list[str], cwd: str, environ: Mapping[str, str]) -> Outcome:
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired as problem:
        raise GitrunError(f"the trial has not ended within {_PATIENCE_S:g} s: {' '.join(command[:4])}") from problem
    except OSError as problem:
        raise GitrunError(f"{command[0]} could not be started: {problem.strerror}") from problem
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def _scratch_archive(home: str, repo: Repository) -> str:
    """A bare repository without runs that borrows the objects of another."""
    place = os.path.join(home, "archive.git")
    for name in ("objects/info", "objects/pack", "refs/heads"):
        make_dirs(os.path.join(place, name))
    other = repo.object_format != "sha1"
    config = f"[core]\n\trepositoryformatversion = {int(other)}\n\tbare = true\n"
    config += f"[extensions]\n\tobjectformat = {repo.object_format}\n" if other else ""
    files: dict[str, str] = {
        "HEAD": "ref: refs/heads/none\n",
        "config": config,
        "objects/info/alternates": os.path.realpath(repo.objects_dir) + "\n",
    }
    for name, text in files.items():
        write_file(os.path.join(place, name), os.fsencode(text), sync=False)
    return place
