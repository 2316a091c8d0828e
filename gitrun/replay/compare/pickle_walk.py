"""What a pickle says of its tensors, without unpickling: its opcodes are read, nothing is called or imported.

torch keeps the bytes of a tensor in a file of their own and refers to it from a pickle, which alone knows what
the bytes are. A small machine follows the few opcodes that a checkpoint consists of and keeps strings, tuples
and names; all else is a placeholder. A storage counts as floats only where each mention of it is taken at once
by torch's own function that makes a tensor of it, always with the same type.
"""

from __future__ import annotations

import pickletools
import struct
from array import array
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from gitrun.replay.compare.context import NotThis, Tolerance
from gitrun.replay.compare.floats import (
    BFLOAT16,
    COMPLEX64,
    COMPLEX128,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    Kind,
    compare_doubles,
)
from gitrun.replay.levels import Finding, Level

MAX_BYTES = 32 << 20
_KINDS = {
    "torch DoubleStorage": FLOAT64,
    "torch FloatStorage": FLOAT32,
    "torch HalfStorage": FLOAT16,
    "torch BFloat16Storage": BFLOAT16,
    "torch ComplexFloatStorage": COMPLEX64,
    "torch ComplexDoubleStorage": COMPLEX128,
}
_LATER_KINDS = {"torch float8_e4m3fn": FLOAT8_E4M3, "torch float8_e5m2": FLOAT8_E5M2}
_TYPED, _UNTYPED = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"
_NOTHING = {"PROTO", "FRAME"}
_VALUES = {
    "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "LONG4",
}  # fmt: skip
_KEPT = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_POPS = {"APPEND": 1, "BUILD": 1, "SETITEM": 2}
_SHOWN = 60


class _Name(NamedTuple):
    text: str


class _Storage(NamedTuple):
    kind: str
    key: str


class _Thing:
    """A value that nothing depends on."""


_MARK, _THING = object(), _Thing()


class Storages(NamedTuple):
    """By the key of a storage: its type, and the nearest name in front of it."""

    kinds: dict[str, Kind]
    labels: dict[str, str]


def read_storages(data: bytes) -> Storages:
    """What the storages of a checkpoint hold; raises NotThis for an opcode that checkpoints do not have."""
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(data):
        machine.step(opcode.name, argument)
    return machine.storages()


class _Machine:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._mentions: Counter[str] = Counter()
        self._made: defaultdict[str, list[Kind | None]] = defaultdict(list)
        self._labels: dict[str, str] = {}

    def storages(self) -> Storages:
        kinds = {}
        for key, made in self._made.items():
            if made[0] is not None and len(made) == self._mentions[key] and len(set(made)) == 1:
                kinds[key] = made[0]
        return Storages(kinds, self._labels)

    def step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _KEPT:
            stack.append(argument)
        elif name in _VALUES:
            stack.append(_THING)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack.append(tuple(self._pop() for _ in range(count))[::-1])
        elif name == "TUPLE":
            stack.append(self._pop_marked())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = (argument,) if name == "GLOBAL" else (self._pop(), self._pop())[::-1]
            stack.append(_Name(" ".join(str(part) for part in parts)))
        elif name in _POPS:
            for _ in range(_POPS[name]):
                self._pop()
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            self._pop_marked()
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = self._pop(), self._pop()
            if name == "REDUCE":
                self._note(called, arguments)
            stack.append(_THING)
        elif name == "BINPERSID":
            stack.append(self._storage(self._pop()))
        elif name not in _NOTHING and name != "STOP":
            raise NotThis(f"a pickle with {name}")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise NotThis("a pickle that makes no sense")
        return value

    def _pop_marked(self) -> tuple[Any, ...]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return tuple(values[::-1])

    def _storage(self, told: Any) -> _Storage:
        match told:
            case ("storage", _Name(kind), str(key), str(), int()):
                self._mentions[key] += 1
                label = next((each for each in reversed(self._stack) if type(each) is str), "")
                self._labels.setdefault(key, label)
                return _Storage(kind, key)
        raise NotThis("a pickle that refers to something else than a storage")

    def _note(self, called: Any, arguments: Any) -> None:
        match called, arguments:
            case _Name(text), (_Storage(kind, key), *_) if text == _TYPED:
                self._made[key].append(_KINDS.get(kind))
            case _Name(text), (_Storage(_, key), _, _, _, _, _, _Name(dtype), *_) if text == _UNTYPED:
                self._made[key].append(_LATER_KINDS.get(dtype))


def compare_pickles(a: bytes, b: bytes, tolerance: Tolerance) -> Finding:
    """What two pickles that differ have in common: everything but floats must be equal, opcode by opcode.

    Unpickling is a matter of the opcodes alone, so pickles that are equal but for their floats make values that
    are.
    """
    left, right = pickletools.genops(a), pickletools.genops(b)
    numbers: tuple[array[float], array[float]] = (array("d"), array("d"))
    labels: list[str] = []
    label, end = "the beginning", (0, 0)
    for (x, x_value, x_at), (y, y_value, y_at) in zip(left, right, strict=False):
        if x.name != y.name or (x.name != "BINFLOAT" and (type(x_value), x_value) != (type(y_value), y_value)):
            told = f"after {label}: {_show(x_value)} against {_show(y_value)}"
            return Finding(Level.DIFFERS, told, f"after {label}")
        if x.name == "BINFLOAT" and struct.pack("<d", x_value) != struct.pack("<d", y_value):
            numbers[0].frombytes(struct.pack("d", x_value))
            numbers[1].frombytes(struct.pack("d", y_value))
            labels.append(label)
        elif type(x_value) is str:
            label = _show(x_value)
        end = (x_at or 0, y_at or 0)
    if (end[0] + 1, end[1] + 1) != (len(a), len(b)):
        raise NotThis("more than one pickle")
    return compare_doubles(*numbers, tolerance, lambda index: f"after {labels[index]}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
