"""The environment of a command: its interpreter and distributions, and nothing that varies between two runs of it.

environment.json is meant to be equal, byte for byte, for all runs of one environment, so that its sha256 is
the environment's name and Git stores it once. Where the interpreter lies is a fact of the run instead, and
returned beside it. The answer is cached (environment_cache) under the directories and files it was read from.

What the command will run is a guess before it runs (a shell, a launcher, a shim may choose another Python). Once
a Python process has said what it is, `of_process` describes that one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gitrun.capture.build import python_build
from gitrun.capture.conda import conda_packages
from gitrun.capture.distributions import read_distributions
from gitrun.capture.environment_cache import EnvironmentCache
from gitrun.capture.facts import structure, text_path, unwaiting
from gitrun.capture.interpreter import Interpreter, read_interpreter, reported_interpreter
from gitrun.capture.program import Program
from gitrun.model.canonical import encode

MAX_PROGRAM_BYTES = 8 << 20
_VARIABLES = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "HOME")


class Environment(NamedTuple):
    """The content of environment.json, where its interpreter lies (for run.json), and what is missing.

    `sites` are the directories its packages lie in, `local` those that packages were installed from.
    """

    value: dict[str, Any]
    interpreter: dict[str, Any] | None
    problems: list[str]
    sites: list[bytes] = []  # noqa: RUF012  # never changed
    local: list[bytes] = []  # noqa: RUF012

    def digest(self) -> str:
        """The environment's name: the sha256 of its canonical bytes."""
        return hashlib.sha256(encode(self.value)).hexdigest()


def capture_environment(program: Program, cwd: bytes, cache_dir: str | None) -> Environment:
    """The environment in which `program` runs when it is started in `cwd`; `cache_dir` None caches nothing."""
    binary = program.binary
    if binary is None:
        return Environment(_value(None, [], None, []), None, list(program.problems))
    if not program.python:
        facts, problems = _program_facts(binary)
        return Environment(_value(None, [], facts, []), None, program.problems + problems)
    environ = program.environ
    key = [binary, cwd if environ.get("PYTHONPATH") else b""]
    key += [os.fsencode(environ.get(name, "")) for name in _VARIABLES]
    found = _cached(key, lambda: read_interpreter(binary, environ, cwd), cache_dir)
    return found._replace(problems=program.problems + found.problems)


def of_process(start: Mapping[str, Any], environ: Mapping[str, str], cwd: bytes, cache_dir: str | None) -> Environment:
    """The environment of a Python process that reported itself: `start` is its `process` frame.

    `environ` are the variables of the command as far as they are known, `cwd` is where it started.
    """
    interpreter = reported_interpreter(start, environ, cwd)
    if interpreter is None:
        return Environment(_value(None, [], None, []), None, ["environment: a process did not say what it is"])
    key = [b"reported", interpreter.executable, interpreter.prefix, *interpreter.sites]
    found = _cached(key, lambda: interpreter._replace(problems=[]), cache_dir)
    return found._replace(problems=interpreter.problems + found.problems)


def is_another(
    start: Mapping[str, Any], guessed: Mapping[str, Any] | None, sites: Collection[bytes] | None = None
) -> bool:
    """Whether a process that reported itself is of another Python than was expected before it ran.

    `sites` are the directories of packages that were expected; None where nobody knows.
    """
    if not start.get("executable") or not start.get("prefix"):
        return False
    if not guessed:
        return True
    prefix = os.path.realpath(os.fsencode(guessed["prefix"])) if guessed.get("prefix") else None
    if os.path.realpath(start["prefix"]) != prefix:
        return True
    if sites is None:
        return False
    known = set(map(os.path.realpath, sites))
    found = (path for path in start.get("path") or [] if path.endswith((b"/site-packages", b"/dist-packages")))
    return any(os.path.isdir(path) and os.path.realpath(path) not in known for path in found)


def _cached(key: list[bytes], look: Callable[[], Interpreter], cache_dir: str | None) -> Environment:
    cache = EnvironmentCache(key, cache_dir)
    answer = cache.load()
    if answer is None:
        answer, watched, memory = _read(look(), cache.memory())
        cache.keep(answer, watched, memory)
    paths = ([os.fsencode(path) for path in answer[name]] for name in ("sites", "local"))
    return Environment(answer["value"], answer["interpreter"], list(answer["problems"]), *paths)


def _read(interpreter: Interpreter, memory: dict[str, list[Any]]) -> tuple[dict[str, Any], list[bytes], dict[str, Any]]:
    """The answer from the files themselves, those it rests on, and what to remember of each distribution."""
    installed = read_distributions(interpreter.sites, memory)
    conda = conda_packages(interpreter.prefix)
    build = python_build(interpreter)
    python = {
        "implementation": interpreter.implementation,
        "version": interpreter.version,
        "build": build.value,
    }
    answer = {
        "value": _value(python, installed.distributions, None, conda.packages),
        "interpreter": {
            "executable": text_path(interpreter.executable),
            "real": text_path(interpreter.real),
            "prefix": text_path(interpreter.prefix),
            "base_prefix": text_path(interpreter.base_prefix),
        },
        "problems": interpreter.problems + installed.problems + conda.problems,
        "sites": [os.fsdecode(site) for site in interpreter.sites],
        "local": [os.fsdecode(path) for path in installed.local],
    }
    decisive = [*interpreter.decisive, *build.watched]
    return answer, [*decisive, *installed.watched, *conda.watched], installed.memory


def _value(
    python: dict[str, Any] | None, distributions: list[Any], program: dict[str, Any] | None, conda: list[Any]
) -> dict[str, Any]:
    more = {"conda": conda} if conda else {}
    return structure(python=python, distributions=distributions, program=program, **more)


def _program_facts(binary: bytes) -> tuple[dict[str, Any], list[str]]:
    """Name, size and, up to a bound, sha256 of a program that is no Python."""
    facts: dict[str, Any] = {"name": text_path(os.path.basename(binary)), "bytes": None, "sha256": None}
    try:
        with open(binary, "rb", buffering=0, opener=unwaiting) as file:
            facts["bytes"] = os.fstat(file.fileno()).st_size
            if facts["bytes"] > MAX_PROGRAM_BYTES:
                return facts, [f"environment: {facts['name']} is larger than {MAX_PROGRAM_BYTES} bytes; not hashed"]
            facts["sha256"] = hashlib.sha256(file.read() or b"").hexdigest()
    except OSError as problem:
        return facts, [f"environment: {text_path(binary)}: {problem.strerror}"]
    return facts, []
