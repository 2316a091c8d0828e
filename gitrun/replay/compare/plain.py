"""Files of no format known here: the first line that differs, or the first byte.

This is also where everything ends that could not be read in exactly one way. It never says anything
but `differs`, because it is only asked about files that have been found to differ.
"""

from __future__ import annotations

from gitrun.replay.compare.window import PIECE_BYTES, Window, first_difference
from gitrun.replay.levels import Finding, Level

_SHOWN = 100
_AROUND = 4096
_LINES_BYTES = 256 << 20
_CONTROL = frozenset(range(32)) - {9, 10, 12, 13, 27}


def compare_plain(a: Window, b: Window) -> Finding:
    """Where two contents that differ begin to."""
    offset = first_difference(a, b)
    if offset is None:  # a file that changed while it was read
        return Finding(Level.DIFFERS, "the contents could not be read twice with the same result")
    where = f"byte {offset}"
    sizes = "" if a.size == b.size else f" ({a.size} and {b.size} bytes)"
    if offset == min(a.size, b.size):
        return _line(a, b, offset) or Finding(Level.DIFFERS, f"the same up to {where}, where one ends{sizes}", where)
    return _line(a, b, offset) or Finding(Level.DIFFERS, f"the first difference is at {where}{sizes}", where)


def _line(a: Window, b: Window, offset: int) -> Finding | None:
    """The differing line, where both look like text up to there; None otherwise."""
    if offset > _LINES_BYTES or not (_is_text(a, offset) and _is_text(b, offset)):
        return None
    begin = offset - len(a.at_most(max(0, offset - _AROUND), min(offset, _AROUND)).rpartition(b"\n")[2])
    number = 1 + sum(a.at_most(at, min(PIECE_BYTES, begin - at)).count(b"\n") for at in range(0, begin, PIECE_BYTES))
    left, right = (_shown(each, begin, offset) for each in (a, b))
    return Finding(Level.DIFFERS, f"line {number}: {left} against {right}", f"line {number}")


def _is_text(window: Window, offset: int) -> bool:
    for at in (0, max(0, offset - _AROUND // 2)):
        near = window.at_most(at, _AROUND)
        if not _CONTROL.isdisjoint(near):
            return False
        try:
            near.decode()
        except UnicodeDecodeError as problem:
            # A character may be cut at either end of what is looked at.
            if 4 <= problem.start < len(near) - 4:
                return False
    return True


def show_line(line: bytes, offset: int = 0) -> str:
    """The line around a difference, in quotes and without anything a terminal would act on."""
    head = max(0, offset - _SHOWN // 2)
    text = line[head : head + _SHOWN].decode(errors="replace").rstrip("\r\n")
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\t", " "))
    return f"{'…' if head else ''}'{safe}'{'…' if head + _SHOWN < len(line) else ''}"


def _shown(window: Window, begin: int, offset: int) -> str:
    if begin >= window.size:
        return "the end"
    line = window.at_most(begin, offset - begin + 2 * _SHOWN)
    end = line.find(b"\n", offset - begin)
    return show_line(line if end < 0 else line[:end], offset - begin)
