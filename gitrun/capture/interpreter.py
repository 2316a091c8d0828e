"""What can be known of a Python interpreter without running it: version, prefix, and where its packages lie.

Starting it would cost 10 ms and run the user's site customisation. Instead `pyvenv.cfg` tells a virtual
environment from an installation, as the interpreter itself would see it, and the full version stands as a
text in the binary (a virtual environment's own file may be older than an upgraded base). What a process said
of itself comes before all of that (`reported_interpreter`).
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitrun.capture.facts import read_start, text_path, unwaiting

MAX_PYTHONPATH = 200
MAX_PTH = 200
_PACKAGES = (b"/site-packages", b"/dist-packages")
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}


class Interpreter(NamedTuple):
    """One Python; paths are bytes, `version` is as exact as could be found, `sites` are in the order of sys.path.

    `decisive` are the paths whose change, or appearance, could make another answer of it.
    """

    executable: bytes
    real: bytes
    prefix: bytes
    base_prefix: bytes
    implementation: str
    version: str | None
    sites: list[bytes]
    problems: list[str]
    decisive: list[bytes]


def read_interpreter(executable: bytes, environ: Mapping[str, str], cwd: bytes) -> Interpreter:
    """The facts of the interpreter `executable`, as started in `cwd` with `environ`."""
    problems: list[str] = []
    real = os.path.realpath(executable)
    base_prefix = os.path.dirname(os.path.dirname(real))
    config = _pyvenv(executable)
    prefix = config[0] if config else base_prefix
    isolated = config is not None and config[1].get("include-system-site-packages", "false").lower() != "true"
    library = _library(real, prefix, base_prefix)
    if library is None:
        problems.append(f"environment: the library directory of {text_path(executable)} was not found")
        name = b"pypy" if b"pypy" in os.path.basename(real) else b"python"
    else:
        name = library.rstrip(b"0123456789.t")
    version = _version(real, base_prefix, library)
    if version is None or version.count(".") < 2:
        problems.append(f"environment: the exact version of {text_path(executable)} is not known")
    sites = _pythonpath(environ, cwd, problems)
    own = [] if library is None else _sites(prefix, base_prefix, library, isolated, environ)
    added, pth_files = _added_by_pth(own)
    decisive = [executable, real, os.path.join(prefix, b"pyvenv.cfg"), *sites, *own, *pth_files, *added]
    implementation = "PyPy" if name == b"pypy" else "CPython"
    sites = _distinct([*sites, *own, *added])
    return Interpreter(executable, real, prefix, base_prefix, implementation, version, sites, problems, decisive)


def reported_interpreter(start: Mapping[str, Any], environ: Mapping[str, str], cwd: bytes) -> Interpreter | None:
    """The interpreter of a process by its own report (the `process` frame); None where it does not name one.

    `cwd` is where the command started. The directory of a script and the working directory count only where
    PYTHONPATH names them: they are of the program, and not of its environment.
    """
    executable = _reported_path(start, "executable")
    if executable is None:
        return None
    found = read_interpreter(executable, environ, cwd)
    problems = [] if start.get("version") else found.problems
    found = found._replace(
        prefix=_reported_path(start, "prefix") or found.prefix,
        base_prefix=_reported_path(start, "base_prefix") or found.base_prefix,
        implementation=_implementation(start) or found.implementation,
        version=start.get("version") or found.version,
    )
    path = start.get("path")
    if not isinstance(path, list):
        return found._replace(problems=problems)
    own = {cwd, _reported_path(start, "cwd") or cwd}
    argv = start.get("argv") or [b""]
    own.add(os.path.dirname(os.path.join(_reported_path(start, "cwd") or cwd, argv[0])))
    given = set(found.sites)
    entries = [entry for entry in path if entry.startswith(b"/") and (entry not in own or entry in given)]
    others = [entry for entry in entries if not entry.endswith(_PACKAGES)]
    if len(others) > MAX_PYTHONPATH:
        problems = [
            *problems,
            f"environment: sys.path has {len(path)} entries; packages were looked for in {MAX_PYTHONPATH} of them",
        ]
    left_out = {*others[MAX_PYTHONPATH:], *(entry for entry in entries if _is_library(entry, found.base_prefix))}
    return found._replace(sites=_distinct([each for each in entries if each not in left_out]), problems=problems)


def _reported_path(start: Mapping[str, Any], name: str) -> bytes | None:
    value = start.get(name)
    return value if isinstance(value, bytes) and value.startswith(b"/") else None


def _implementation(start: Mapping[str, Any]) -> str | None:
    name = start.get("implementation")
    return _IMPLEMENTATIONS.get(name, name) if isinstance(name, str) and name else None


def _is_library(entry: bytes, base_prefix: bytes) -> bool:
    """Whether this is the standard library, as a directory or an archive, which holds no packages."""
    below = entry.removeprefix(base_prefix.rstrip(b"/") + b"/")
    return re.fullmatch(rb"lib(?:32|64)?/(?:python|pypy)[0-9.]+t?(?:\.zip|/lib-dynload)?", below) is not None


def _pyvenv(executable: bytes) -> tuple[bytes, dict[str, str]] | None:
    """Prefix and content of the `pyvenv.cfg` beside the executable or one level above, the link not followed."""
    directory = os.path.dirname(executable)
    for prefix in (directory, os.path.dirname(directory)):
        text = read_start(os.path.join(prefix, b"pyvenv.cfg"))
        if text is not None:
            lines = text.decode("utf-8", "replace").splitlines()
            pairs = (line.partition("=") for line in lines)
            return prefix, {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}
    return None


def _library(real: bytes, prefix: bytes, base_prefix: bytes) -> bytes | None:
    """`python3.11`: the directory name below lib/, from the executable's own name or the only one there is."""
    name = os.path.basename(real)
    if re.fullmatch(rb"(?:python|pypy)[0-9]+\.[0-9]+t?", name):
        return name
    for directory in (prefix, base_prefix):
        try:
            names = os.listdir(os.path.join(directory, b"lib"))
        except OSError:
            continue  # not every prefix has one
        found = [name for name in names if re.fullmatch(rb"(?:python|pypy)[0-9]+\.[0-9]+t?", name)]
        if len(found) == 1:
            return found[0]
    return None


def _version(real: bytes, base_prefix: bytes, library: bytes | None) -> str | None:
    """`3.11.7`, from the installed header, the binary or its shared library; `3.11` when none has it."""
    if library is None:
        return None
    short = library.lstrip(b"pythonpypy").rstrip(b"t")
    header = read_start(os.path.join(base_prefix, b"include", library, b"patchlevel.h")) or b""
    exact = re.search(rb'#define[ \t]+PY_VERSION[ \t]+"(' + re.escape(short) + rb'[0-9A-Za-z.+]*)"', header)
    if exact:
        return exact[1].decode("ascii")
    shared = [os.path.join(base_prefix, lib, b"libpython" + short + b".so.1.0") for lib in (b"lib", b"lib64")]
    for path in (real, *shared):
        found = _version_in(path, short)
        if found:
            return found
    return short.decode("ascii")


def _version_in(path: bytes, short: bytes) -> str | None:
    """The full version among the texts of a binary: the first that begins with `short` and ends where the text does."""
    full = re.compile(re.escape(short) + rb"\.[0-9]+(?:(?:a|b|rc)[0-9]+)?\+?(?=\x00)")
    try:
        with (
            open(path, "rb", opener=unwaiting) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            at = content.find(short + b".")
            while at >= 0:
                match = full.match(content, at)
                if match and not content[at - 1 : at].isdigit():
                    return match[0].decode("ascii")
                at = content.find(short + b".", at + 1)
    except (OSError, ValueError):
        return None  # not there, not readable or empty
    return None


def _sites(
    prefix: bytes, base_prefix: bytes, library: bytes, isolated: bool, environ: Mapping[str, str]
) -> list[bytes]:
    """The directories for packages: the user's, the environment's, the installation's, Debian's."""
    prefixes = [prefix] if isolated else [prefix, base_prefix]
    sites = []
    if not isolated and not environ.get("PYTHONNOUSERSITE"):
        base = environ.get("PYTHONUSERBASE") or os.path.join(environ.get("HOME", "/nonexistent"), ".local")
        sites.append(os.path.join(os.fsencode(base), b"lib", library, b"site-packages"))
    for directory in prefixes:
        sites += [os.path.join(directory, lib, library, b"site-packages") for lib in (b"lib", b"lib64")]
    if not isolated and base_prefix == b"/usr":
        sites += [b"/usr/local/lib/" + library + b"/dist-packages", b"/usr/lib/python3/dist-packages"]
    return sites


def _pythonpath(environ: Mapping[str, str], cwd: bytes, problems: list[str]) -> list[bytes]:
    entries = [entry for entry in os.fsencode(environ.get("PYTHONPATH", "")).split(b":") if entry]
    if len(entries) > MAX_PYTHONPATH:
        problems.append(
            f"environment: PYTHONPATH has {len(entries)} entries; packages were looked for in {MAX_PYTHONPATH}"
        )
    return [os.path.join(cwd, entry) for entry in entries[:MAX_PYTHONPATH]]


def _added_by_pth(sites: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The directories that the `*.pth` files of these add to `sys.path`, and the files."""
    added: list[bytes] = []
    files: list[bytes] = []
    for site in sites:
        try:
            names = sorted(name for name in os.listdir(site) if name.endswith(b".pth") and not name.startswith(b"."))
        except OSError:
            continue  # most candidates do not exist
        for name in names[:MAX_PTH]:
            files.append(os.path.join(site, name))
            lines = (line.strip() for line in (read_start(files[-1]) or b"").splitlines())
            kept = [line for line in lines if line and not line.startswith((b"#", b"import ", b"import\t"))]
            added += [os.path.normpath(os.path.join(site, line)) for line in kept]
    return added[:MAX_PTH], files


def _distinct(sites: Iterable[bytes]) -> list[bytes]:
    """Existing directories, each once (lib64 is often a link to lib)."""
    seen: set[tuple[int, int]] = set()
    distinct = []
    for site in sites:
        try:
            facts = os.stat(site)
        except (OSError, ValueError):
            continue  # most candidates do not exist
        if not stat.S_ISDIR(facts.st_mode):
            continue  # an archive, or the library that a `.pth` file names
        if (facts.st_dev, facts.st_ino) not in seen:
            seen.add((facts.st_dev, facts.st_ino))
            distinct.append(site)
    return distinct
