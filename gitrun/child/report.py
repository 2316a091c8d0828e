"""Writes the report of a process: what it loaded, with what, and that it ended (spec/journal, "The child's report").

The program may close every descriptor, fork, be killed, or outlive its run, and must never notice a report. So the
file is opened for each write and closed again, a write is whole frames, and the first write that fails is the last.
What can be told early is told early, because most killed programs are killed late.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from gitrun.child.frames import frame, pack_value

MAX_FRAME = 48 << 20
MAX_FORKS = 1000  # of one process; a child of a later fork that has nothing to say says nothing
# Parts of names that promise a secret, and of secrets that have a shape: nearly no process needs a closer look.
_NAMES = (b"PASS", b"SECRET", b"KEY", b"TOKEN", b"CRED", b"JWT", b"AUTH ", b"AUTHORIZ", b"COOKIE", b"_PAT ", b"://")
_SHAPES = (b"HF_", b"GH", b"SK-", b"GL", b"XO", b"XAPP", b"AKIA", b"ASIA", b"AIZA", b"YA29", b"EYJ", b"K_", b"NPM_",
           b"PYPI-", b"SG.", b"DAPI", b"DOP_", b"R8_", b"GSK_", b"WANDB_", b"_ORG_")  # fmt: skip
_NUMERIC = ("numpy", "torch", "tensorflow", "jax", "ctypes")
_MODES = ("spawn", "forkserver", "resource_tracker")  # of multiprocessing


def write(child: Any, *values: dict[str, Any]) -> None:
    """Appends frames, after the process's own where that is still to be told."""
    if child.path == "":
        return
    busy, child.busy = child.busy, True
    try:
        if child.path is None:
            child.path = f"{child.member}/observed-{os.getpid()}-{os.urandom(4).hex()}"
        if not child.told:
            child.told = True
            values = (_process(child), *values)
        if child.secrets is None or values[0]["kind"] != "modules":
            child.secrets = _secrets(child)
        _append(child, b"".join(frame(_encoded(child, value, child.secrets)) for value in values))
    except OSError:
        child.path = ""
    finally:
        child.busy = busy
        child.written = time.monotonic()


def flush_modules(child: Any) -> None:
    """Tells of the modules that were seen since the last time."""
    batch = child.pending[:]
    if batch:
        write(child, _modules(batch))
        child.reported.update(path for _, path, _, _ in batch)
        del child.pending[: len(batch)]


def config(child: Any, value: dict[str, Any]) -> None:
    """Tells how a framework configured the program, and what the program had loaded by then."""
    write(child, {"kind": "config", **value})
    flush_modules(child)


def finish(child: Any) -> None:
    """Tells all that is known at the end of the process."""
    if child.path == "":
        return
    flush_modules(child)
    if child.forks > MAX_FORKS and child.path is None and len(sys.modules) == len(child.inherited):
        return
    values = []
    numeric = child.start_method != "fork" and any(name in sys.modules for name in _NUMERIC)
    wanted = [("modules", True), ("opened", child.opened), ("seeds", child.hooks), ("numerics", numeric)]
    for name in [name for name, is_wanted in wanted if is_wanted]:
        try:
            values += child.load(name).last_frames(child)
        except Exception:  # noqa: S112  each by itself: one that fails must not cost the others
            continue
    write(child, *values, {"kind": "exit", "at_ns": time.time_ns()})


def _modules(batch: list[tuple[str, str, int, int]]) -> dict[str, Any]:
    named = [[name, os.fsencode(path), size, mtime_ns] for name, path, size, mtime_ns in batch]
    return {"kind": "modules", "modules": named}


def _encoded(child: Any, value: dict[str, Any], secrets: list[tuple[str, bytes]]) -> bytes:
    """The payload of a frame; of one that cannot be written, that it was there."""
    try:
        payload = pack_value(value)
        named = value["kind"] == "config" or (
            value["kind"] == "process" and _hinted(b" ".join(value["orig_argv"]), _SHAPES)
        )
        if named or any(secret in payload for _, secret in secrets):
            payload = pack_value(child.load("redact").redacted(value, secrets))
        if len(payload) <= MAX_FRAME:
            return payload
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError):
        pass  # a value that no frame can hold: said below
    kept: dict[str, Any] = {key: value[key] for key in ("kind", "framework") if key in value}
    if value["kind"] == "config":
        kept.update(values={}, unserialisable=["*"])
    return pack_value(kept)


def _secrets(child: Any) -> list[tuple[str, bytes]]:
    """The secrets among the variables; few processes have one, and only those load what finds it."""
    names = list(os.environ)
    if not _hinted(os.fsencode(" ".join(names))):
        return []
    found = {name: os.environ.get(name, "") for name in names if _hinted(os.fsencode(name))}
    secrets: list[tuple[str, bytes]] = child.load("redact").secrets_of(found)
    return secrets


def _hinted(text: bytes, more: tuple[bytes, ...] = ()) -> bool:
    text = text.upper() + b" "
    for hint in (*_NAMES, *more):
        if hint in text:
            return True
    return False


def _append(child: Any, data: bytes) -> None:
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(child.path, mode, 0o600)
    try:
        written = os.write(fd, data)
        if written < len(data):  # the disk is full: a torn frame would hide whatever came after it
            os.ftruncate(fd, max(0, os.fstat(fd).st_size - written))
            child.path = ""
    finally:
        os.close(fd)


def _process(child: Any) -> dict[str, Any]:
    """The `process` frame; what the first one, written without any import, has said is said again."""
    words = _words()
    flags = {
        name: int(getattr(sys.flags, name))
        for name in dir(sys.flags)
        if name[0] != "_" and not name.startswith("n_") and isinstance(getattr(sys.flags, name), int)
    }
    method = child.start_method or next((mode for mode in _MODES if _runs(words, mode)), None)
    value = {
        "kind": "process",
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "executable": os.fsencode(sys.executable or ""),
        "prefix": os.fsencode(sys.prefix),
        "base_prefix": os.fsencode(sys.base_prefix),
        "implementation": sys.implementation.name,
        "version": sys.version.split(None, 1)[0],
        "build": sys.version,
        "hexversion": sys.hexversion,
        "flags": flags,
        "xoptions": {str(key): item for key, item in getattr(sys, "_xoptions", {}).items()},
        "argv": [os.fsencode(word) for word in child.argv if isinstance(word, str)],
        "orig_argv": words,
        "path": [os.fsencode(entry) for entry in list(sys.path) if isinstance(entry, str)],
        "cwd": os.fsencode(child.cwd),
        "rank": os.environ.get("RANK", os.environ.get("LOCAL_RANK")),
    }
    if child.start_method == "fork":
        value["started_ns"] = child.forked_ns
    if method:
        value["start_method"] = method
    return value


def _words() -> list[bytes]:
    """The words that started the interpreter."""
    words = getattr(sys, "orig_argv", None)
    if words is not None:
        return [os.fsencode(word) for word in words]
    try:
        fd = os.open("/proc/self/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return os.read(fd, 1 << 20).split(b"\0")[:-1]
    finally:
        os.close(fd)


def _runs(words: list[bytes], mode: str) -> bool:
    """Whether these words are how multiprocessing starts such a process."""
    return b"-c" in words and any(word.startswith(f"from multiprocessing.{mode} import".encode()) for word in words)
