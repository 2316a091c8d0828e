"""Putting wheels into an empty virtual environment: by uv where it is there, else by pip, with the user's indexes.

Whatever is downloaded must have a hash of the lockfile, so it does not matter which index or cache it comes from, and
all of them may be asked. What is at hand is tried first without the network. Files are copied, never linked: a program
that writes into its environment must not write into the installer's cache, and the other way round.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.capture.lock.indexes import pip_environment, uv_environment
from gitrun.capture.lock.places import has_module
from gitrun.capture.lock.resolver import UNREACHABLE, find_uv
from gitrun.capture.lock.running import Given, GivenUp, run
from gitrun.capture.secrets import Redactor
from gitrun.errors import DamagedStore
from gitrun.files.write import write_file
from gitrun.model.listing import listed
from gitrun.replay.environments.outcome import NotRebuilt
from gitrun.replay.environments.requirements import Wanted

_LIMIT_S = 3600.0
# Settings of the user's that would choose other versions, other builds or another place than the record.
_UV_UNSET = frozenset(
    "UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_EXCLUDE_NEWER UV_NO_BINARY UV_NO_BINARY_PACKAGE"
    " UV_ONLY_BINARY UV_PYTHON UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES UV_COMPILE_BYTECODE UV_TORCH_BACKEND"
    " UV_PRERELEASE UV_RESOLUTION UV_INDEX_STRATEGY UV_LINK_MODE UV_REQUIRE_HASHES UV_NO_VERIFY_HASHES"
    " UV_PROJECT_ENVIRONMENT UV_OFFLINE VIRTUAL_ENV CONDA_PREFIX".split()
)
_PIP_UNSET = frozenset(
    "PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_NO_BINARY PIP_ONLY_BINARY PIP_PRE PIP_UPGRADE PIP_REQUIRE_VIRTUALENV"
    " PIP_PYTHON PIP_REQUIREMENT PIP_EDITABLE PIP_FORCE_REINSTALL PIP_NO_CLEAN PIP_SRC PIP_REPORT PIP_DRY_RUN"
    " VIRTUAL_ENV".split()
)


class Job(NamedTuple):
    """What is installed where: the interpreter of the empty environment, the wheels, a directory for scratch."""

    python: str
    base: str
    wanted: tuple[Wanted, ...]
    scratch: str
    environ: Mapping[str, str]
    cwd: str


Attempt = tuple[str, Callable[[], Given]]


def install(archive: Archive, job: Job, tool: str = "auto") -> str:
    """Install all that is wanted; the tool that did it. Raises NotRebuilt with the tool's reason."""
    links = _put_stored(archive, job)
    if not job.wanted:
        return "none"
    name, attempts = _attempts(job, links, tool)
    given: Given | None = None
    for words, attempt in attempts:
        try:
            given = attempt()
        except GivenUp:
            raise NotRebuilt(f"{name} did not end within {_LIMIT_S / 3600:.0f} hour ({words})") from None
        except OSError as problem:
            raise NotRebuilt(f"{name} could not be started: {problem.strerror}") from problem
        if given.code == 0:
            return name
    assert given is not None, "there is always an attempt"
    raise NotRebuilt(why_not(name, given.err, job.wanted))


def _put_stored(archive: Archive, job: Job) -> str:
    """The stored wheels as files in a directory of their own."""
    directory = os.path.join(job.scratch, "wheels")
    os.makedirs(directory, exist_ok=True)
    for each in job.wanted:
        if each.stored is None:
            continue
        try:
            chunks = [(str(blob), int(size)) for blob, size in each.stored["chunks"]]
        except (KeyError, TypeError, ValueError) as problem:
            raise NotRebuilt(f"the stored wheel of {each.pin.name} has no place in the store") from problem
        try:
            with open(os.path.join(directory, str(each.stored["wheel"])), "wb") as file:
                for piece in archive.store.read(chunks):
                    file.write(piece)
        except DamagedStore as problem:
            raise NotRebuilt(f"the stored wheel of {each.pin.name} is gone: {problem}", next="gitrun fsck") from problem
    return directory


def _attempts(job: Job, links: str, tool: str) -> tuple[str, Iterator[Attempt]]:
    if tool in ("auto", "uv") and (uv := find_uv(job.environ, None)):
        return "uv", _by_uv(uv, job, links)
    if tool in ("auto", "pip") and (pip := find_pip(job.python, job.base)):
        return "pip", _by_pip(pip, job, links)
    raise NotRebuilt("neither uv nor pip was found to build it", next='pip install "gitrun[uv]"')


def _by_uv(program: str, job: Job, links: str) -> Iterator[Attempt]:
    environ = {
        name: value for name, value in uv_environment(job.environ, job.cwd, None).items() if name not in _UV_UNSET
    }
    argv = [program, "pip", "sync", "--python", job.python, "--require-hashes", "--no-build", "--link-mode", "copy"]
    argv += ["--find-links", links, "--index-strategy", "unsafe-best-match", "--no-python-downloads"]
    argv += ["--quiet", "--no-progress", "--color", "never"]
    for words, more, by_url in _ladder(job, "--offline", "--no-index"):

        def attempt(more: Sequence[str] = more, by_url: bool = by_url) -> Given:
            return _run([*argv, *more, _file(job, by_url)], job.cwd, environ)

        yield words, attempt


def _by_pip(command: list[str], job: Job, links: str) -> Iterator[Attempt]:
    environ = {name: value for name, value in pip_environment(job.environ, None).items() if name not in _PIP_UNSET}
    environ["PIP_CONSTRAINT"] = os.devnull
    argv = [*command, "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile", "--quiet"]
    argv += ["--find-links", links, "--no-warn-script-location", "--no-warn-conflicts"]
    for words, more, by_url in _ladder(job, None, "--no-index"):

        def attempt(more: Sequence[str] = more, by_url: bool = by_url) -> Given:
            return _run([*argv, *more, "-r", _file(job, by_url)], "/", environ)

        yield words, attempt


def _ladder(job: Job, offline: str | None, no_index: str) -> Iterator[tuple[str, list[str], bool]]:
    """Words, options, and whether addresses are named: first what needs no network, last what needs most."""
    if all(each.stored is not None for each in job.wanted):
        yield "from the store", [no_index, *([offline] if offline else [])], False
        return
    urls = any(each.url is not None and not each.direct for each in job.wanted)
    if offline:
        yield "from its cache", [offline], False
        if urls:
            yield "from its cache, by address", [offline], True
    yield "from the indexes", [], False
    if urls:
        yield "by address", [], True


def _run(argv: Sequence[str], cwd: str, environ: Mapping[str, str]) -> Given:
    return run(argv, b"", cwd=cwd, environ=environ, stop=lambda: False, limit_s=_LIMIT_S)


def _file(job: Job, by_url: bool) -> str:
    path = os.path.join(job.scratch, f"requirements-{'addresses' if by_url else 'versions'}.txt")
    write_file(path, "".join(each.line(by_url) for each in job.wanted).encode(), sync=False)
    return path


def find_pip(python: str, base: str) -> list[str] | None:
    """A pip that works for `python`: gitrun's own, that of its base installation, or the wheel that Python brings."""
    import importlib.util

    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--python", python]
    if has_module(base, "pip"):
        return [base, "-I", "-m", "pip", "--python", python]
    wheel = bundled(base).get("pip")
    return [python, "-I", os.path.join(wheel, "pip")] if wheel else None


def bundled(base: str) -> dict[str, str]:
    """The wheels that a Python brings along for new environments (`ensurepip`), by name."""
    library = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(base))), "lib")
    name = re.sub(r"\.exe\Z", "", os.path.basename(os.path.realpath(base)))
    found: dict[str, str] = {}
    for directory in (os.path.join(library, name, "ensurepip", "_bundled"), "/usr/share/python-wheels"):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue  # a Python without it
        for each in names:
            if each.endswith(".whl"):
                found.setdefault(each.partition("-")[0].lower(), os.path.join(directory, each))
    return found


def why_not(tool: str, said: str, wanted: Sequence[Wanted]) -> str:
    """One sentence from the words of an installer: which distribution, and whether an index was reached at all."""
    text = said.strip()
    named = sorted({each.pin.requirement for each in wanted if _is_named(text, each.pin.name, each.pin.version)})
    what = listed(named) if named else "a recorded wheel"
    if not re.search(r"\b(?:404|410)\b", text) and UNREACHABLE.search(text):
        return f"{what} could not be downloaded, no index could be reached by {tool}: {_said(text)}"
    if re.search(r"hash", text, re.IGNORECASE):
        return f"{what} is on the index with another content than was recorded ({tool}: {_said(text)})"
    return f"{what} cannot be had any more, yanked, deleted or made for another platform ({tool}: {_said(text)})"


def _is_named(text: str, name: str, version: str) -> bool:
    """Whether a text speaks of a version, as a requirement or as the name of a wheel."""
    stem = r"[-_.]".join(map(re.escape, name.split("-")))
    return re.search(rf"(?<![\w.-]){stem}(?:==|-){re.escape(version)}(?![\w+])", text, re.IGNORECASE) is not None


def _said(text: str) -> str:
    """The line of an installer's words that says what is wrong, at most 300 characters."""
    lines = [re.sub(r"^[\s×╰├│▶─>-]+", "", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING", "warning", "[notice]", "hint"))]
    told = [line for line in lines if re.match(r"(error|because|cause|caused by)\b", line, re.IGNORECASE)]
    return Redactor({}).text((told or lines or ["it said nothing"])[-1])[:300]
