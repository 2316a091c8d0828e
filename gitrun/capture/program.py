"""Which program a command really is: wrappers, PATH, `#!` lines and pyenv's shims followed by reading files alone.

`timeout 60 env OMP_NUM_THREADS=1 ./train.py` runs Python, and so does `torchrun`. Asking them would mean
running the user's programs a second time, so what the system would do is done here on paper. Where the way ends
(`uv run`, `sh -c`) the answer is the program it ended at, and the record says that it may start others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitrun.capture.facts import read_start, text_path

MAX_STEPS = 8
_PYTHON = rb"(?:python|pypy)[0-9.]*[dt]*(?:-intel64)?"
# Programs that run the words behind them: how many operands come first, and which options take a word.
_WRAPPERS: dict[bytes, tuple[int, tuple[bytes, ...]]] = {
    b"env": (0, (b"-u", b"--unset", b"-C", b"--chdir")),
    b"nice": (0, (b"-n",)),
    b"nohup": (0, ()),
    b"setsid": (0, ()),
    b"time": (0, (b"-f", b"-o")),
    b"timeout": (1, (b"-s", b"-k", b"--signal", b"--kill-after")),
    b"stdbuf": (0, (b"-i", b"-o", b"-e")),
    b"taskset": (1, ()),
    b"ionice": (0, (b"-c", b"-n")),
}
_STARTS_OTHERS = frozenset(
    (b"sh", b"bash", b"dash", b"zsh", b"ksh", b"fish", b"busybox", b"make", b"uv", b"uvx", b"conda", b"mamba",
     b"micromamba", b"srun", b"mpirun", b"mpiexec", b"docker", b"podman", b"apptainer", b"singularity", b"ssh")
)  # fmt: skip


class Program(NamedTuple):
    """The program behind a command.

    `at` is the index of its word in the command; `file` what that word names, `binary` what the system loads in
    the end (itself, or the interpreter of its `#!` line). Both are None when not found. `python` says that the
    binary is a Python, `script_follows` that the word itself is, so that its script is among the words behind it.
    """

    at: int
    file: bytes | None
    binary: bytes | None
    python: bool
    script_follows: bool
    environ: dict[str, str]
    problems: list[str]


def find_program(argv: Sequence[bytes], environ: Mapping[str, str], cwd: bytes) -> Program:
    """Follow `argv` to its program, as started in `cwd`; never raises, and never runs anything."""
    environ = dict(environ)
    problems: list[str] = []
    at = _behind_wrappers(argv, environ)
    file = search(argv[at], environ, cwd) if at < len(argv) else None
    if file is None:
        problems.append("environment: the command was not found, so its interpreter is not known")
        return Program(min(at, max(len(argv) - 1, 0)), None, None, False, False, environ, problems)
    binary = _follow(file, environ, cwd)
    if binary is None:
        problems.append(f"environment: what runs {text_path(file)} was not found")
    name = os.path.basename(binary or file)
    if name in _STARTS_OTHERS or re.sub(rb"[0-9.]+\Z", b"", name) in _STARTS_OTHERS:
        problems.append(f"environment: {text_path(name)} may start further programs, which are not known")
    python = binary is not None and is_python(binary)
    return Program(at, file, binary, python, python and is_python(argv[at]), environ, problems)


def is_python(path: bytes) -> bool:
    """Whether a path's last component is the name of a Python interpreter."""
    return re.fullmatch(_PYTHON, os.path.basename(path)) is not None


def search(word: bytes, environ: Mapping[str, str], cwd: bytes, skip: bytes = b"") -> bytes | None:
    """The executable file that `word` names, as execvp finds it; directories equal to `skip` are passed over."""
    if b"/" in word:
        path = os.path.join(cwd, word)
        return path if os.path.isfile(path) else None
    for directory in os.fsencode(environ.get("PATH", os.defpath)).split(b":"):
        path = os.path.join(cwd, directory, word)
        if directory != skip and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def _behind_wrappers(argv: Sequence[bytes], environ: dict[str, str]) -> int:
    """The index of the first word that is no wrapper; assignments of `env` are made in `environ`."""
    at = 0
    for _ in range(MAX_STEPS):
        name = os.path.basename(argv[at]) if at < len(argv) else b""
        if name not in _WRAPPERS:
            break
        operands, with_value = _WRAPPERS[name]
        at += 1
        while at < len(argv) and argv[at].startswith(b"-"):
            at += 2 if argv[at] in with_value else 1
        at += operands
        while name == b"env" and at < len(argv) and b"=" in argv[at]:
            variable, _, value = argv[at].partition(b"=")
            environ[os.fsdecode(variable)] = os.fsdecode(value)
            at += 1
    return at


def _follow(file: bytes, environ: Mapping[str, str], cwd: bytes) -> bytes | None:
    """The binary at the end of `#!` lines and shims."""
    for _ in range(MAX_STEPS):
        start = read_start(file, 1024) or b""
        if not start.startswith(b"#!"):
            return file
        following = _pyenv(file, start, environ, cwd) or _shebang(start, environ, cwd)
        if following is None:
            return None
        file = following
    return None


def _shebang(start: bytes, environ: Mapping[str, str], cwd: bytes) -> bytes | None:
    lines = start.split(b"\n")
    # installers write this where the interpreter's path has spaces or is too long for a `#!` line
    through_shell = re.match(rb"'''exec' (?:\"([^\"]+)\"|(\S+)) ", lines[1]) if len(lines) > 1 else None
    if through_shell:
        return search(through_shell[1] or through_shell[2], environ, cwd)
    words = lines[0][2:].split()
    if words and os.path.basename(words[0]) == b"env":
        words = [word for word in words[1:] if not word.startswith(b"-") and b"=" not in word]
    return search(words[0], environ, cwd) if words else None


def _pyenv(file: bytes, start: bytes, environ: Mapping[str, str], cwd: bytes) -> bytes | None:
    """What a pyenv shim would run: the version is named by a variable, a `.python-version` above, or globally."""
    match = re.search(rb"export PYENV_ROOT=\"([^\"]+)\"", start)
    if match is None:
        return None
    root, name = match[1], os.path.basename(file)
    chosen = os.fsencode(environ.get("PYENV_VERSION", "")).replace(b":", b" ") or _pyenv_files(root, cwd)
    for version in chosen.split():
        if version == b"system":
            return search(name, environ, cwd, skip=os.path.dirname(file))
        for candidate in (version, _newest(root + b"/versions", version)):
            path = os.path.join(root, b"versions", candidate, b"bin", name)
            if candidate and os.access(path, os.X_OK):
                return path
    return None


def _pyenv_files(root: bytes, cwd: bytes) -> bytes:
    directory = cwd
    while True:
        text = read_start(os.path.join(directory, b".python-version"), 4096)
        if text is not None:
            return b" ".join(line for line in text.split() if not line.startswith(b"#"))
        if directory in (b"/", b""):
            return read_start(os.path.join(root, b"version"), 4096) or b"system"
        directory = os.path.dirname(directory)


def _newest(directory: bytes, prefix: bytes) -> bytes:
    """The highest installed version below a prefix such as `3.11`, as `pyenv latest` finds it; empty for none."""
    try:
        names = [name for name in os.listdir(directory) if re.fullmatch(re.escape(prefix) + rb"(?:\.[0-9]+)+", name)]
    except OSError:
        return b""
    return max(names, key=lambda name: [int(part) for part in name.split(b".")], default=b"")
