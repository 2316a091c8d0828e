"""Asking an index for the hashes of what is installed: through uv, else through pip, with the user's own settings.

The pins are exact and dependencies are left out, so nothing is solved: each pin is found or it is not. A resolver
refuses all of them for the sake of one, and names it; it is set aside as missing, and the rest is asked again.
Nothing is built and no wheel is installed: a package that exists only as source is one that no index has as a
wheel. A version like 2.5.1+cu121 is looked for on the index of its own label as well.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gitrun.capture.lock.answers import Resolution
from gitrun.capture.lock.indexes import pip_environment, uv_environment
from gitrun.capture.lock.pins import Pin, normalised_name
from gitrun.capture.lock.places import has_module
from gitrun.capture.lock.pylock import file_name, sort_files, valid_package
from gitrun.capture.lock.running import Given, run
from gitrun.capture.secrets import Redactor
from gitrun.model.listing import listed

_ROUNDS = 60
_LIMIT_S = 600.0
UNREACHABLE = re.compile(
    r"error sending request|client error \(Connect\)|Failed to fetch|dns error|Connection refused|operation timed out"
    r"|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Network is unreachable|Name or service not known"
    r"|Max retries exceeded|Temporary failure in name resolution|network was disabled"
    r"|\b(?:401|403|407|429|5[0-9][0-9]) (?:Client|Server|Unauth|Forbid|Internal|Bad|Service|Gateway)",
    re.IGNORECASE,
)


class Question(NamedTuple):
    """What is asked, for which interpreter, and with whose settings.

    `tool` is `auto`, `uv` or `pip`; `labels` is the address below which `cu121` and its like have their indexes.
    """

    pins: tuple[Pin, ...]
    python: str | None
    version: str | None
    prefix: str | None
    environ: Mapping[str, str]
    cwd: str
    tool: str = "auto"
    labels: str = "https://download.pytorch.org/whl"


class _NoAnswer(Exception):
    """The resolver could not say; the message is its own."""


Ask = Callable[[list[Pin], str | None], Given]
Read = Callable[[bytes], dict[str, dict[str, Any]]]


def resolve(question: Question, stop: Callable[[], bool]) -> Resolution:
    """Asks for all pins; raises GivenUp when `stop` says so."""
    if question.tool in ("auto", "uv") and (uv := find_uv(question.environ, question.prefix)):
        tool, ask, read = _uv(uv, question, stop)
    elif question.tool in ("auto", "pip") and (pip := _pip_command(question)):
        tool, ask, read = _pip(pip, question, stop)
    else:
        return Resolution({}, [], None, "neither uv nor pip was found to resolve it")
    packages: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    by_label: dict[str | None, list[Pin]] = {}
    for pin in question.pins:
        by_label.setdefault(pin.label, []).append(pin)
    try:
        for label, pins in sorted(by_label.items(), key=lambda item: item[0] or ""):
            index = f"{question.labels.rstrip('/')}/{label}" if label else None
            missing += _ask_all(pins, index, ask, read, packages)
    except _NoAnswer as problem:
        return Resolution(packages, [], tool, f"{tool} gave no answer: {problem}")
    except OSError as problem:
        return Resolution(packages, [], tool, f"{tool} could not be started: {problem.strerror}")
    return Resolution(packages, sorted(missing), tool)


def _ask_all(
    pins: list[Pin], index: str | None, ask: Ask, read: Read, packages: dict[str, dict[str, Any]]
) -> list[str]:
    """Adds the packages of these pins; the names of those that are not to be had."""
    missing: list[str] = []
    left = list(pins)
    for _ in range(_ROUNDS):
        if not left:
            return missing
        given = ask(left, index)
        if given.code == 0:
            answers = read(given.out)
            for pin in left:
                package = valid_package(answers[pin.name], pin) if pin.name in answers else None
                if package is None or not _same_version(answers[pin.name], pin):
                    missing.append(pin.name)
                else:
                    packages[pin.name] = package
            return missing
        if UNREACHABLE.search(given.err):
            raise _NoAnswer(_said(given.err))
        refused = _refused(given.err, left)
        missing += [pin.name for pin in refused]
        left = [pin for pin in left if pin not in refused]
    raise _NoAnswer(f"too many packages that it does not have, such as {listed(missing)}")


def _same_version(package: dict[str, Any], pin: Pin) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(package["version"]) == Version(pin.version)
    except (InvalidVersion, KeyError, TypeError):
        return False


def _refused(err: str, pins: list[Pin]) -> list[Pin]:
    """The pins that a resolver's message is about; where it names none, something else is wrong."""
    lines = [line for line in err.splitlines() if "ERROR: " in line]  # pip's, among its log
    text = ("\n".join(lines) or err).lower()
    named = [pin for pin in pins if re.search(rf"(?<![\w.-]){re.escape(pin.requirement)}(?![\w.+-]*\w)", text)]
    if not named:
        raise _NoAnswer(_said(err))
    return named


def _said(err: str) -> str:
    """The one line of a resolver's words that says what is wrong."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    told = (
        [line for line in lines if re.match(r"(error|cause|caused by)\b", line, re.IGNORECASE)]
        or lines
        or ["it said nothing"]
    )
    return Redactor({}).text(told[0])[:300]


# -- uv and pip


def find_uv(environ: Mapping[str, str], prefix: str | None) -> str | None:
    """The uv on PATH, in the environment, or beside gitrun."""
    import shutil
    import sys

    beside = [os.path.join(prefix, "bin")] if prefix else []
    places = [environ.get("PATH", os.defpath), *beside, os.path.dirname(sys.executable)]
    return next((found for place in places if (found := shutil.which("uv", path=place))), None)


def _uv(program: str, question: Question, stop: Callable[[], bool]) -> tuple[str, Ask, Read]:
    environ = uv_environment(question.environ, question.cwd, question.prefix)
    argv = [program, "pip", "compile", "--no-deps", "--format", "pylock.toml", "--no-header", "--quiet"]
    argv += ["--no-progress", "--color", "never", "--no-python-downloads"]
    if question.python is not None:
        argv += ["--python", question.python]
    elif question.version is not None:
        argv += ["--python-version", question.version]

    def ask(pins: list[Pin], index: str | None) -> Given:
        text = "".join(f"{pin.requirement}\n" for pin in pins).encode()
        more = ["--index", index] if index else []
        how = {"cwd": question.cwd, "environ": environ, "stop": stop, "limit_s": _LIMIT_S}
        given = run([*argv, *more, "--offline", "-"], text, **how)  # type: ignore[arg-type]
        return given if given.code == 0 else run([*argv, *more, "-"], text, **how)  # type: ignore[arg-type]

    return "uv", ask, _read_uv


def _read_uv(data: bytes) -> dict[str, dict[str, Any]]:
    try:
        packages = tomllib.loads(data.decode("utf-8")).get("packages")
    except (ValueError, RecursionError):
        return {}
    return {str(package.get("name")): package for package in packages or [] if isinstance(package, dict)}


def _pip_command(question: Question) -> list[str] | None:
    """pip of the environment itself, else gitrun's own, told to work for that interpreter."""
    import importlib.util
    import sys

    if question.python is not None and has_module(question.python, "pip"):
        return [question.python, "-I", "-m", "pip"]
    if question.python is not None and importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--python", question.python]
    return None


def _pip(command: list[str], question: Question, stop: Callable[[], bool]) -> tuple[str, Ask, Read]:
    environ = pip_environment(question.environ, question.prefix)
    argv = [*command, "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--only-binary", ":all:"]

    def ask(pins: list[Pin], index: str | None) -> Given:
        text = "".join(f"{pin.requirement}\n" for pin in pins).encode()
        more = ["--extra-index-url", index] if index else []
        # without its log, pip is silent about an index that refuses, as if that had no such package
        words = [*argv, *more, "--report", "-", "-r", "/dev/stdin", "--log", "/dev/stderr"]
        return run(words, text, cwd="/", environ=environ, stop=stop, limit_s=_LIMIT_S)

    return "pip", ask, _read_pip


def _read_pip(data: bytes) -> dict[str, dict[str, Any]]:
    try:
        installs = json.loads(data)["install"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found: dict[str, dict[str, Any]] = {}
    for install in installs if isinstance(installs, list) else []:
        try:
            name = normalised_name(install["metadata"]["name"])
            place = install["download_info"]
            entry = {"url": place["url"], "hashes": {"sha256": place["archive_info"]["hashes"]["sha256"]}}
        except (KeyError, TypeError):
            continue  # what it did not say is missing
        if name is not None:
            package = sort_files([{**entry, "name": file_name(entry)}])
            found[name] = {"version": install["metadata"].get("version"), **package}
    return found
