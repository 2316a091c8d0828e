"""Which build of Python an interpreter is: two of one version may differ in compiler, options and patches.

The linker's build id names the code; where a file has none, its sha256 does. The code is in the executable, or in a
`libpython` that it names. What the interpreter says of itself (`sys.version`) would need a run of it, and is in
`process.observed` where a process reported.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, NamedTuple

from gitrun.capture.elf import read_elf
from gitrun.capture.facts import unwaiting
from gitrun.capture.interpreter import Interpreter

MOST_HASHED = 256 << 20


class Build(NamedTuple):
    """`value` is for `python.build` of environment.json, `watched` are the files that it was read from."""

    value: dict[str, Any]
    watched: list[bytes]


class _Identity(NamedTuple):
    build_id: str | None
    sha256: str | None
    library: bytes | None  # the `libpython` that it names


def python_build(interpreter: Interpreter) -> Build:
    """The build of an interpreter; all of it is null where its files cannot be read."""
    flags, platform = _platform(interpreter) or (None, None)
    found, watched = _identity(interpreter.real), [interpreter.real]
    if found is not None and found.library is not None:
        for directory in _directories(interpreter, platform):
            path = os.path.join(directory, found.library)
            if (library := _identity(path)) is not None:
                found, watched = library, [interpreter.real, path]
                break
    build_id, sha256 = (None, None) if found is None else (found.build_id, found.sha256)
    return Build({"flags": flags, "platform": platform, "id": build_id, "sha256": sha256}, watched)


def _identity(path: bytes) -> _Identity | None:
    """What names the code in a file; None where it is not there, or may be executed and not read."""
    try:
        with open(path, "rb", buffering=0, opener=unwaiting) as file:
            elf = read_elf(file.fileno())
            needed = [] if elf is None else elf.needed
            library = next((name for name in needed if re.fullmatch(rb"lib(?:python|pypy)[\w.-]*", name)), None)
            if elf is not None and elf.build_id is not None:
                return _Identity(elf.build_id, None, library)
            if os.fstat(file.fileno()).st_size > MOST_HASHED:
                return _Identity(None, None, library)
            return _Identity(None, hashlib.file_digest(file, "sha256").hexdigest(), library)
    except (OSError, ValueError):
        return None


def _directories(interpreter: Interpreter, platform: str | None) -> list[bytes]:
    """Where the dynamic linker would find an interpreter's own library."""
    prefixes = dict.fromkeys((interpreter.base_prefix, os.path.dirname(os.path.dirname(interpreter.real))))
    found = [os.path.join(prefix, lib) for prefix in prefixes for lib in (b"lib", b"lib64")]
    return [*found, *([b"/usr/lib/" + platform.encode()] if platform else [])]


def _platform(interpreter: Interpreter) -> tuple[str, str] | None:
    """ABI flags and platform (`t`, `x86_64-linux-gnu`), from the name of the file that holds the build's variables."""
    short = ".".join((interpreter.version or "").split(".")[:2])
    directory = os.path.join(interpreter.base_prefix, b"lib", b"python" + short.encode("ascii", "replace"))
    for suffix in (b"", b"t"):
        try:
            names = sorted(os.listdir(directory + suffix))
        except (OSError, ValueError):
            continue  # not how this installation lays out its library
        for name in names:
            if found := re.fullmatch(rb"_sysconfigdata_([a-z]*)_[a-z0-9]+_([\w.-]+)\.py", name):
                return found[1].decode("ascii"), found[2].decode("ascii", "replace")
    return None
