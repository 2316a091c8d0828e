"""Which rules apply to two files, and what they have in common.

Bytes first. Only where these differ is the format looked at: by what the file begins with, and for text, which
has no such mark, by its name. A family that cannot read both files in exactly one way hands them back, and
they are compared as bytes.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import BinaryIO

from gitrun.replay.compare.context import UNPACKED_BYTES, UNPACKED_RATIO, Budget, Context, Tolerance
from gitrun.replay.compare.plain import compare_plain
from gitrun.replay.compare.window import Window, first_difference
from gitrun.replay.levels import SAME_BYTES, Finding, Level

_HEAD_BYTES = 512
_DEFAULT = Tolerance()
# In the order in which they are asked: module, its function. Each module has `fits(path, head)`.
_FAMILIES = (
    ("npy", "compare_npy"),
    ("zips", "compare_zip"),
    ("packed", "compare_packed"),
    ("png", "compare_png"),
    ("pdf", "compare_pdf"),
    ("parquet", "compare_parquet"),
    ("tars", "compare_tar"),
    ("events", "compare_events"),
    ("safetensors", "compare_safetensors"),
    ("svg", "compare_svg"),
    ("notebook", "compare_notebook"),
    ("tables", "compare_table"),
)
# What reading hostile bytes may end with. Anything caught here makes the verdict weaker, never stronger.
_UNREADABLE = (
    ValueError, ArithmeticError, LookupError, EOFError, RecursionError, MemoryError, zlib.error, lzma.LZMAError,
)  # fmt: skip
Compare = Callable[[bytes, Window, Window, Context], Finding]


def compare_contents(path: bytes, a: BinaryIO, b: BinaryIO, tolerance: Tolerance = _DEFAULT) -> Finding:
    """What the recorded file `a` and the replayed file `b`, both seekable, have in common.

    `path` is only used for its ending. Raises OSError where a file cannot be read.
    """
    left, right = Window.whole(a), Window.whole(b)
    budget = Budget(UNPACKED_BYTES + UNPACKED_RATIO * (left.size + right.size))
    return _compare(path, left, right, Context(tolerance, 0, budget, _compare))


def _compare(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    if first_difference(a, b) is None:
        return SAME_BYTES
    name = path.rpartition(b"/")[2].lower()
    heads = a.at_most(0, _HEAD_BYTES), b.at_most(0, _HEAD_BYTES)
    for module_name, function in _FAMILIES:
        module = import_module(f"gitrun.replay.compare.{module_name}")
        if not all(module.fits(name, head) for head in heads):
            continue
        compare: Compare = getattr(module, function)
        try:
            found = compare(path, a, b, context)
        except _UNREADABLE:
            break  # read in another way it might seem the same: only bytes are left
        if found.level is not Level.BIT:  # the bytes are not the same, whoever says so
            return found
    return compare_plain(a, b)
