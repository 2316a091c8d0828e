"""The environment of a command: its interpreter and distributions, and nothing that varies between two runs of it.

environment.json is meant to be equal, byte for byte, for all runs of one environment, so that its sha256 is
the environment's name and Git stores it once. Where the interpreter lies is a fact of the run instead, and
returned beside it. The answer is cached under the directories and files it was read from (their times, sizes
and inodes); an answer that rests on a file changed within the last seconds is not, because a second change
could leave the same time behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from gitrun.capture.distributions import read_distributions
from gitrun.capture.facts import structure, text_path
from gitrun.capture.interpreter import Interpreter, read_interpreter
from gitrun.capture.program import Program
from gitrun.errors import GitrunError
from gitrun.files.write import make_dirs, write_file
from gitrun.model.canonical import encode

MAX_PROGRAM_BYTES = 8 << 20
RACY_NS = 2_000_000_000
CACHE_VERSION = 1


class Environment(NamedTuple):
    """The content of environment.json, where its interpreter lies (for run.json), and what is missing."""

    value: dict[str, Any]
    interpreter: dict[str, Any] | None
    problems: list[str]

    def digest(self) -> str:
        """The environment's name: the sha256 of its canonical bytes."""
        return hashlib.sha256(encode(self.value)).hexdigest()


def capture_environment(program: Program, cwd: bytes, cache_dir: str | None) -> Environment:
    """The environment in which `program` runs when it is started in `cwd`; `cache_dir` None caches nothing."""
    if program.binary is None:
        return Environment(_value(None, [], None), None, list(program.problems))
    if not program.python:
        facts, problems = _program_facts(program.binary)
        return Environment(_value(None, [], facts), None, program.problems + problems)
    python = _Cached(program, cwd, cache_dir)
    answer = python.load() or python.read()
    return Environment(answer["value"], answer["interpreter"], program.problems + answer["problems"])


def _value(python: dict[str, Any] | None, distributions: list[Any], program: dict[str, Any] | None) -> dict[str, Any]:
    return structure(python=python, distributions=distributions, program=program)


def _program_facts(binary: bytes) -> tuple[dict[str, Any], list[str]]:
    """Name, size and, up to a bound, sha256 of a program that is no Python."""
    facts: dict[str, Any] = {"name": text_path(os.path.basename(binary)), "bytes": None, "sha256": None}
    try:
        with open(binary, "rb", buffering=0) as file:
            facts["bytes"] = os.fstat(file.fileno()).st_size
            if facts["bytes"] > MAX_PROGRAM_BYTES:
                return facts, [f"environment: {facts['name']} is larger than {MAX_PROGRAM_BYTES} bytes; not hashed"]
            facts["sha256"] = hashlib.sha256(file.read() or b"").hexdigest()
    except OSError as problem:
        return facts, [f"environment: {text_path(binary)}: {problem.strerror}"]
    return facts, []


class _Cached:
    """The facts of one Python, from the cache when every file they rest on is as it was."""

    def __init__(self, program: Program, cwd: bytes, cache_dir: str | None) -> None:
        assert program.binary is not None
        self._binary = program.binary
        self._environ = program.environ
        self._cwd = cwd
        self._path: str | None = None
        if cache_dir is not None:
            key = [self._binary, cwd if program.environ.get("PYTHONPATH") else b""]
            names = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "HOME")
            key += [os.fsencode(program.environ.get(name, "")) for name in names]
            self._path = os.path.join(cache_dir, f"environment-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}")

    def load(self) -> dict[str, Any] | None:
        """The cached answer, or None when there is none or it is no longer true."""
        if self._path is None:
            return None
        try:
            with open(self._path, "rb") as file:
                answer = json.loads(file.read())
            if answer["version"] != CACHE_VERSION or not isinstance(answer["value"], dict):
                return None
            for path, marks in answer["watched"]:
                if _marks(os.fsencode(path)) != marks:
                    return None
            return {"value": answer["value"], "interpreter": answer["interpreter"], "problems": answer["problems"]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # a cache that cannot be read is a cache that is empty

    def read(self) -> dict[str, Any]:
        """The answer from the files themselves, kept for the next time."""
        interpreter = read_interpreter(self._binary, self._environ, self._cwd)
        installed = read_distributions(interpreter.sites)
        python = {"implementation": interpreter.implementation, "version": interpreter.version}
        answer = {
            "value": _value(python, installed.distributions, None),
            "interpreter": _interpreter_facts(interpreter),
            "problems": interpreter.problems + installed.problems,
        }
        self._keep(answer, [*_candidates(interpreter), *installed.watched])
        return answer

    def _keep(self, answer: dict[str, Any], watched: Sequence[bytes]) -> None:
        if self._path is None:
            return
        marked = [(os.fsdecode(path), _marks(path)) for path in watched]
        newest = max((marks[0] for _, marks in marked if marks is not None), default=0)
        if newest > time.time_ns() - RACY_NS:
            return
        data = json.dumps({"version": CACHE_VERSION, "watched": marked, **answer}).encode("ascii")
        directory = os.path.dirname(self._path)
        if not os.path.isdir(os.path.dirname(directory)):
            return  # the archive was moved away meanwhile: nothing is made anew in its place
        try:
            make_dirs(directory)
            write_file(self._path, data, sync=False)
        except GitrunError:
            pass  # without a cache the next recording reads the files again


def _interpreter_facts(interpreter: Interpreter) -> dict[str, Any]:
    return {
        "executable": text_path(interpreter.executable),
        "real": text_path(interpreter.real),
        "prefix": text_path(interpreter.prefix),
        "base_prefix": text_path(interpreter.base_prefix),
    }


def _candidates(interpreter: Interpreter) -> list[bytes]:
    """The files that decide which interpreter and which directories count."""
    return [interpreter.executable, interpreter.real, os.path.join(interpreter.prefix, b"pyvenv.cfg")]


def _marks(path: bytes) -> list[int] | None:
    """Time, size and inode of a file, the inode and time of a directory, None for nothing."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return [facts.st_mtime_ns, 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size, facts.st_ino]
