"""Finding the Python that a run ran on: the same build where there is one here, else the same version.

Two builds of one version differ in compiler, options and patches, and so may their results. So a candidate is told by
the build id of its code, as the record has it. Nothing is run to find out, and nothing is downloaded: what would have
to be installed is a command for the user to type.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gitrun.capture.build import python_build
from gitrun.capture.facts import read_start
from gitrun.capture.interpreter import read_interpreter
from gitrun.replay.environments.outcome import SAME_BUILD, SAME_VERSION, NotRebuilt
from gitrun.replay.environments.recorded import Recorded


class Python(NamedTuple):
    """An interpreter that can carry the environment, and how near it is to the recorded one."""

    path: str
    level: str


def find_python(recorded: Recorded, environ: Mapping[str, str]) -> Python:
    """The nearest Python on this machine; raises NotRebuilt where none has the version."""
    _check_platform(recorded)
    second: Python | None = None
    builds: list[str] = []
    for path in dict.fromkeys(map(os.path.realpath, _candidates(recorded, environ))):
        if not os.access(path, os.X_OK) or (read_start(os.fsencode(path), 2) or b"#!") == b"#!":
            continue  # not there, or a script that looks for one
        found = read_interpreter(os.fsencode(path), {}, b"/")
        if found.implementation != recorded.python.get("implementation") or found.version != recorded.version:
            builds.append(str(found.version))
            continue
        build = python_build(found).value
        if is_same_build(build, recorded.python.get("build")):
            return Python(path, SAME_BUILD)
        if second is None and build["flags"] == (recorded.python.get("build") or {}).get("flags"):
            second = Python(path, SAME_VERSION)
    if second is not None:
        return second
    name = f"{recorded.python.get('implementation')} {recorded.version}"
    others = sorted({version for version in builds if version != "None"})
    here = f" (here: {', '.join(others)})" if others else ""
    raise NotRebuilt(f"{name} is not on this machine{here}", next=how_to_get(recorded))


def is_same_build(one: Any, other: Any) -> bool:
    """Whether two `python.build` name the same code; what is known of neither is not the same."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return any(one.get(key) is not None and one.get(key) == other.get(key) for key in ("id", "sha256"))


def how_to_get(recorded: Recorded) -> str:
    """The command that brings the recorded version, by the tool that brought the recorded one."""
    base = recorded.path("base_prefix") or ""
    name = ("pypy@" if recorded.python.get("implementation") == "PyPy" else "") + recorded.version
    if "/.pyenv/" in base or "/pyenv/" in base:
        return f"pyenv install {name}"
    return f"uv python install {name}"


def _check_platform(recorded: Recorded) -> None:
    platform = (recorded.python.get("build") or {}).get("platform")
    if not isinstance(platform, str) or not platform:
        return
    here = f"{os.uname().machine}-{sys.platform}"
    other_machine = _machine(platform) not in ("", _machine(os.uname().machine))
    other_system = ("linux" in platform) != sys.platform.startswith("linux")
    if other_machine or other_system:
        raise NotRebuilt(
            f"it was recorded on {platform}, and this machine is {here}", next="replay it on such a machine"
        )


def _machine(text: str) -> str:
    word = re.split(r"[-_](?=linux|darwin|gnu|musl)", text)[0]
    names = {"amd64": "x86_64", "arm64": "aarch64", "darwin": "", "linux": "", "powerpc64le": "ppc64le"}
    return names.get(word, word)


def _candidates(recorded: Recorded, environ: Mapping[str, str]) -> Iterator[str]:
    """Where a Python of that version may be, the likeliest first."""
    short = re.match(r"[0-9]+\.[0-9]+", recorded.version)
    stem = "pypy" if recorded.python.get("implementation") == "PyPy" else "python"
    flag = "t" if (recorded.python.get("build") or {}).get("flags") == "t" else ""
    exact = f"{stem}{short[0]}{flag}" if short else f"{stem}3"
    for name in ("real", "executable"):
        if path := recorded.path(name):
            yield path
    if base := recorded.path("base_prefix"):
        yield os.path.join(base, "bin", exact)
    names = (exact, f"{stem}3", stem)
    for directory in [*environ.get("PATH", os.defpath).split(os.pathsep), "/usr/local/bin", "/usr/bin"]:
        if os.path.isabs(directory):
            yield from (os.path.join(directory, name) for name in names)
    yield os.path.realpath(sys.executable)
    for versions in _collections(environ):
        try:
            found = sorted(os.listdir(versions), reverse=True)
        except OSError:
            continue  # most machines have none of these
        yield from (os.path.join(versions, each, "bin", exact) for each in found)


def _collections(environ: Mapping[str, str]) -> list[str]:
    """Directories of uv's and pyenv's installations, of which each has a directory of its own."""
    home = environ.get("HOME", "")
    data = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    places = [
        environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python"),
        os.path.join(environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv"), "versions"),
    ]
    return [place for place in places if os.path.isabs(place)]
