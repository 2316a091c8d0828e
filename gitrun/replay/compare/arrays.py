"""Named tensors of one file against those of another: names, types and shapes are equal, floats may be close."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import NamedTuple

from gitrun.replay.compare.context import Tolerance, worst
from gitrun.replay.compare.floats import Kind, compare_floats
from gitrun.replay.compare.window import Window, first_difference
from gitrun.replay.levels import SAME_BYTES, Finding, Level


class Tensor(NamedTuple):
    """`dtype` in the words of its format; `kind` is None where its values must be the same bytes."""

    dtype: str
    shape: tuple[int, ...]
    kind: Kind | None
    item_bytes: int
    data: Window
    is_fortran: bool = False


def compare_tensor(a: Tensor, b: Tensor, tolerance: Tolerance) -> Finding:
    """What two tensors have in common."""
    if (a.dtype, a.shape, a.is_fortran) != (b.dtype, b.shape, b.is_fortran):
        order = " in another order" if (a.dtype, a.shape) == (b.dtype, b.shape) else ""
        return Finding(Level.DIFFERS, f"{_words(a)} against {_words(b)}{order}", "its type")
    place = partial(_place, a.shape, a.is_fortran)
    if a.kind is not None:
        return compare_floats(a.data, b.data, a.kind, tolerance, place)
    offset = first_difference(a.data, b.data)
    if offset is None:
        return SAME_BYTES
    where = place(offset // a.item_bytes)
    return Finding(Level.DIFFERS, f"{_words(a)}, and these are exact, first differs at {where}", where)


def compare_tensors(a: Mapping[str, Tensor], b: Mapping[str, Tensor], tolerance: Tolerance) -> Finding | None:
    """What two files of tensors have in common; None where all are the same bytes."""
    if a.keys() != b.keys():
        name = min(a.keys() ^ b.keys())
        return Finding(Level.DIFFERS, f"{name} is in one of them only", name)
    return worst([(name, compare_tensor(each, b[name], tolerance)) for name, each in a.items()], "tensors")


def _words(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _place(shape: tuple[int, ...], is_fortran: bool, index: int) -> str:
    """The index along each dimension."""
    if not shape or prod(shape) <= index:
        return f"[{index}]"
    places = []
    for length in shape if is_fortran else reversed(shape):
        index, place = divmod(index, length)
        places.append(place)
    return str(places if is_fortran else places[::-1])
