"""safetensors: a JSON header with a place for each tensor, then the tensors.

The order in the header follows the hash seed in some writers, so tensors are found by name. The places must
cover the file without holes, as the format wants it.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any, NamedTuple

from gitrun.replay.compare.arrays import Tensor, compare_tensors
from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.floats import (
    BFLOAT16,
    COMPLEX64,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    Kind,
)
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_FLOATS: dict[str, Kind] = {
    "F64": FLOAT64, "F32": FLOAT32, "F16": FLOAT16, "BF16": BFLOAT16,
    "F8_E4M3": FLOAT8_E4M3, "F8_E5M2": FLOAT8_E5M2, "C64": COMPLEX64,
}  # fmt: skip
_EXACT = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_HEADER_BYTES = 32 << 20
_MAX_TENSORS = 1 << 20
_METADATA = "__metadata__"


class _File(NamedTuple):
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return len(head) > 10 and 2 <= int.from_bytes(head[:8], "little") <= _HEADER_BYTES and head[8:9] == b"{"


def compare_safetensors(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two files of tensors have in common."""
    left, right = _read(a), _read(b)
    if left.metadata != right.metadata:
        keys = (left.metadata.items() ^ right.metadata.items()) or {("", "")}
        key = min(key for key, _ in keys)
        return Finding(Level.DIFFERS, f"the metadata differ in {key!r}", f"metadata {key!r}")
    found = compare_tensors(left.tensors, right.tensors, context.tolerance)
    if found is None:
        return Finding(Level.SEMANTIC, "the same tensors, only the order of the header differs", "the header")
    return found


def _read(window: Window) -> _File:
    """The tensors by name; raises NotThis where the header is not one, or its places do not tile the file."""
    length = int.from_bytes(window.read(0, 8), "little")
    if length > _HEADER_BYTES:
        raise NotThis("a long header")
    header = json.loads(window.read(8, length), object_pairs_hook=_unique)
    metadata = header.pop(_METADATA, {})
    if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
        raise NotThis("metadata of another form")
    data = window.part(8 + length, window.size - 8 - length)
    places: list[tuple[int, int]] = []
    tensors = {name: _tensor(told, data, places) for name, told in header.items()}
    reached = 0
    for begin, end in sorted(places):
        if begin != reached:
            raise NotThis("bytes between the tensors")
        reached = end
    if reached != data.size or len(tensors) > _MAX_TENSORS:
        raise NotThis("bytes behind the tensors")
    return _File(tensors, metadata)


def _tensor(told: Any, data: Window, places: list[tuple[int, int]]) -> Tensor:
    match told:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if len(told) == 3:
            kind = _FLOATS.get(dtype)
            item_bytes = kind.value_bytes if kind else _EXACT.get(dtype, 0)
            if item_bytes and all(type(each) is int and each >= 0 for each in shape):
                if end - begin != prod(shape) * item_bytes:
                    raise NotThis("a tensor of another size")
                places.append((begin, end))
                return Tensor(dtype, tuple(shape), kind, item_bytes, data.part(begin, end - begin))
    raise NotThis("a tensor of another form")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotThis("a name that is there twice")
    return found
