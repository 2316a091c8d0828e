"""Writes the report of a process: what it loaded, with what, and that it ended (spec/journal, "The child's report").

The program may close every descriptor, fork, be killed, or outlive its run, and must never notice a report. So the
file is opened for each write and closed again, a write is whole frames, and the first write that fails is the last.
What can be told early is told early, because most killed programs are killed late.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gitrun.child.frames import frame, pack_value

if TYPE_CHECKING:
    from gitrun.child.secret_forms import Needle

MAX_FRAME = 48 << 20
MAX_FORKS = 1000  # of one process; a child of a later fork that has nothing to say says nothing
# Parts of names that promise a secret, and of secrets that have a shape: nearly no process needs a closer look.
_NAMES = (b"PASSW", b"PASSP", b"SECRET", b"KEY", b"TOKEN", b"CRED", b"JWT", b"AUTH ", b"AUTHORIZ", b"COOKIE",
          b"_PAT ", b"://")  # fmt: skip
_PLACES = (b"URL ", b"PROXY ", b"URI ", b"DSN ")  # how variables end whose values may be URLs with a password
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
        if child.secrets is None or values[0]["kind"] not in ("modules", "opened"):
            child.secrets = _secrets(child)
        _append(child, b"".join(frame(_encoded(child, value, child.secrets)) for value in values))
    except OSError:
        child.path = ""
    finally:
        child.busy = busy
        child.written = time.monotonic()


def flush(child: Any) -> None:
    """Tells of the modules and files that were seen since the last time."""
    batch = child.pending[:]
    if batch:
        write(child, _modules(child, batch))
        del child.pending[: len(batch)]
    if child.waiting:
        child.load("opened").flush(child)


def config(child: Any, value: dict[str, Any]) -> None:
    """Tells how a framework configured the program, and what the program had loaded by then."""
    write(child, {"kind": "config", **value})
    flush(child)


def finish(child: Any) -> None:
    """Tells all that is known at the end of the process."""
    if child.path == "":
        return
    numeric = child.start_method != "fork" and any(name in sys.modules for name in _NUMERIC)
    if numeric:
        flush(child)  # before libraries are asked that may not come back
    batch = child.pending[:]
    del child.pending[: len(batch)]
    nothing_new = not batch and not child.waiting and len(sys.modules) == len(child.inherited)
    if child.forks > MAX_FORKS and child.path is None and nothing_new:
        return
    values = [_modules(child, batch)] if batch else []
    wanted = [("modules", True), ("opened", child.waiting), ("seeds", child.hooks), ("numerics", numeric)]
    for name in [name for name, is_wanted in wanted if is_wanted]:
        try:
            values += child.load(name).last_frames(child)
        except Exception:  # noqa: S112  each by itself: one that fails must not cost the others
            continue
    write(child, *values, {"kind": "exit", "at_ns": time.time_ns()})


def _modules(child: Any, batch: list[tuple[str, str, int, int]]) -> dict[str, Any]:
    """The frame of these modules, which count as told from now on."""
    child.reported.update(path for _, path, _, _ in batch)
    named = [[name, os.fsencode(path), size, mtime_ns] for name, path, size, mtime_ns in batch]
    return {"kind": "modules", "modules": named}


def _encoded(child: Any, value: dict[str, Any], secrets: list[Needle]) -> bytes:
    """The payload of a frame; of one that cannot be written, that it was there."""
    try:
        named = value["kind"] == "config" or (
            value["kind"] == "process" and _hinted(b" ".join(value["orig_argv"]), _SHAPES)
        )
        payload = b"" if named else pack_value(value)
        if named or any(needle[1] in payload for needle in secrets):
            payload = pack_value(child.load("redact").redacted(value, secrets))
        if len(payload) <= MAX_FRAME:
            return payload
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError):
        pass  # a value that no frame can hold: said below
    kept: dict[str, Any] = {key: value[key] for key in ("kind", "framework") if key in value}
    if value["kind"] == "config":
        kept.update(values={}, unserialisable=["*"])
    return pack_value(kept)


def _secrets(child: Any) -> list[Needle]:
    """The secrets among the variables; few processes have one, and only those load what finds it."""
    names = list(os.environ)
    text = os.fsencode("=".join(names)).upper().replace(b"=", b" =") + b" "
    hints = [hint for hint in (*_NAMES, *_PLACES) if hint in text]
    found = {}
    for name, shown in zip(names, text.split(b"=")) if hints else ():
        hinted = [hint for hint in hints if hint in shown]
        if hinted:
            value = os.environ.get(name, "")
            if ("://" in value and "@" in value) or not all(hint in _PLACES for hint in hinted):
                found[name] = value
    secrets: list[Needle] = child.load("redact").secrets_of(found) if found else []
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
