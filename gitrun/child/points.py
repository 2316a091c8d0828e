"""The bytes of a metrics journal: points, and what is a number (spec/metrics).

A training logs the same names millions of times. So the names are written once, as a numbered schema, and a point is
that number and a run of doubles: one `struct.pack` into a frame that is known but for them.
"""

from __future__ import annotations

import os
import struct
import zlib

from gitrun.child.frames import frame, pack_value

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    Packer = Callable[..., bytes]  # of prefix, step, time_ns and the values: a point's payload

MAX_NAME = 1000  # bytes
MAX_SCHEMAS = 4096  # of one file
MAX_VALUES = 1 << 15  # of one frame, which is then no longer than readers allow
MAX_DEPTH = 32  # of a dict in a dict
_STEP_BITS = 64
_HERE = os.path.dirname(__file__) + "/"
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID", "LOCAL_RANK")


def head(pid: int, started_ns: int, rank: int | None) -> bytes:
    """The first frame of a file."""
    facts = {"kind": "metrics", "format": 1, "requires": [], "pid": pid, "started_ns": started_ns, "rank": rank}
    return frame(pack_value(facts))


def schema(number: int, names: Iterable[str]) -> bytes:
    """The frame that gives a number, from 1, to the names of points that follow."""
    return frame(pack_value([0, number, list(names)]))


def packer(number: int, count: int) -> tuple[bytes, Packer, bytes]:
    """What makes the frames of a schema's points: the bytes of their length, a function, its first argument."""
    size = 16 + 8 * count
    prefix = b"\x92" + pack_value(number) + pack_value(bytes(size))[:-size]  # all of the payload but the numbers
    layout = struct.Struct(f"<{len(prefix)}sqq{count}d")
    return layout.size.to_bytes(4, "little"), layout.pack, prefix


def point(made: tuple[bytes, Packer, bytes], step: int, time_ns: int, values: Iterable[float]) -> bytes:
    """The frame of one point, with what `packer` has given."""
    length, pack, prefix = made
    payload = pack(prefix, step, time_ns, *values)
    return length + zlib.crc32(payload).to_bytes(4, "little") + payload


def lone_point(step: int | None, time_ns: int, values: dict[str, float], rank: int | None) -> bytes:
    """The frame of a point that needs no schema."""
    facts = {"kind": "point", "step": step, "time_ns": time_ns, "values": values, "rank": rank}
    return frame(pack_value(facts))


def missing(points: int, why: str) -> bytes:
    """The frame that says what is not in the file."""
    return frame(pack_value({"kind": "missing", "points": points, "why": why}))


def rank_in(environ: Any) -> int | None:
    """The number of this process among those of its job, as launchers hand it down."""
    for name in _RANKS:
        text = environ.get(name, "")
        if text.isdigit() and len(text) < 10:
            return int(text)
    return None


def numbers(values: Any) -> tuple[dict[str, float], list[tuple[str, str]]]:
    """What `gitrun.log` was given as names and numbers, and of all else its name and what is wrong with it."""
    found: dict[str, float] = {}
    odd: list[tuple[str, str]] = []
    items = _pairs(values)
    if items is None:
        odd.append(("gitrun.log", f"{_a(values)} is no dict, and is left out"))
    else:
        _add("", items, found, odd, 0)
    return found, odd


def _add(above: str, items: Any, found: dict[str, float], odd: list[tuple[str, str]], depth: int) -> None:
    for key, value in items:
        name = above + (key if type(key) is str else str(attempt(str, key)))
        inner = _pairs(value) if depth < MAX_DEPTH else None
        if inner is not None:
            _add(name + "/", inner, found, odd, depth + 1)
        elif not is_name(name):
            odd.append((name[:50], f"its name is not 1 to {MAX_NAME} bytes of UTF-8 without NUL, and it is left out"))
        else:
            number = _number(value)
            if number is None:
                odd.append((name, f"{_a(value)} is no number, and is left out"))
            else:
                found[name] = number


def _pairs(values: Any) -> list[tuple[Any, Any]] | None:
    if type(values) in (float, int) or not hasattr(type(values), "items"):
        return None  # asked of the type: an object may have any attribute
    return attempt(lambda: [(key, value) for key, value in values.items()])  # type: ignore[no-any-return]


def is_name(name: str) -> bool:
    """Whether a metric may be called so."""
    try:
        return 0 < len(name.encode("utf-8")) <= MAX_NAME and "\0" not in name
    except UnicodeEncodeError:
        return False


def _number(value: Any) -> float | None:
    """A value as a float; an integer that is none becomes infinite."""
    if value is None or isinstance(value, (str, bytes, bytearray)):
        return None  # float("1") is a number, and nobody means it
    if hasattr(type(value), "item"):
        return attempt(lambda: _float(value.item()))  # type: ignore[no-any-return]  # an array of one, too
    return attempt(_float, value)  # type: ignore[no-any-return]


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf" if value > 0 else "-inf")


def whole_step(step: Any) -> int | None:
    """A step as an integer of 64 bits; None for what is none."""
    number = attempt(step.__index__) if hasattr(type(step), "__index__") else None
    if number is None:
        value = _number(step)
        number = int(value) if value is not None and value == value // 1 else None
    return number if number is not None and number.bit_length() < _STEP_BITS else None


def attempt(call: Callable[..., Any], *args: Any) -> Any:
    """What a call of the user's gives; None where it fails. Raises RecursionError where the program is too deep for it.

    Where code in Python fails once and not again, a signal's handler has raised: that exception is the program's.
    """
    try:
        return call(*args)
    except RecursionError:
        raise
    except Exception as problem:
        first = problem
    try:
        found = call(*args)
    except Exception:
        return None
    if is_ours(first):
        return found  # raised in C: a warning that is made an error, and given once
    raise first


def is_ours(problem: BaseException) -> bool:
    """Whether an exception was raised by lines of this package, or by what they called in C."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE)


def _a(value: Any) -> str:
    """What somebody gave, by its type."""
    if value is None:
        return "None"
    kind = type(value).__name__
    shape = attempt(getattr, value, "shape", None)
    sized = f" of shape {tuple(shape)}" if type(shape).__name__ in ("tuple", "Size") and len(shape) else ""
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}{sized}"
