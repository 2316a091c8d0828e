"""CSV, JSON and tables of numbers in text: everything equal but floats, and these close.

A text is cut into what must be equal and into numbers that are plainly floats: with a point, or with a sign in
the exponent. So a count, an id, a hash such as `1234e56` and a number inside a quoted text have to be equal,
and so has everything that only looks different (`0.10` and `0.1`).
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from gitrun.replay.compare.context import Context, NotThis, Tolerance
from gitrun.replay.compare.floats import FLOAT64, Measured
from gitrun.replay.compare.plain import show_line
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_MAX_BYTES = 512 << 20
_MAX_LINE_BYTES = 64 << 20
_BATCH = 1 << 16
_FLOAT = rb"[+-]?(?:(?:0|[1-9]\d*)\.\d*|\.\d+|(?=\d+[eE])(?:0|[1-9]\d*))(?:[eE][+-]\d{1,4})?"
_PLAIN = re.compile(_FLOAT)
_PADDED = re.compile(rb"( *)(" + _FLOAT + rb")( *)")
_INTEGER = re.compile(rb"[+-]?\d+|[+-]?(?:nan|inf)", re.IGNORECASE)
_JSON = re.compile(rb"\"[^\"\\\x00-\x1f]*(?:\\.[^\"\\\x00-\x1f]*)*\"|[-+.\w]+|[^-+.\w\"]")
_CSV = re.compile(rb"\"(?:[^\"]|\"\")*\"|[^,;\t\"]+|[,;\t]")
_JSON_NAMES, _CSV_NAMES = (b".json", b".jsonl", b".ndjson"), (b".csv", b".tsv")
_BETWEEN = (b",", b";", b"\t")
_NUMBER_NAMES = (b".txt", b".dat")


class _Token(NamedTuple):
    """A piece of a line: `text` has to be equal; where it is a `number`, `text` is what stands around that."""

    text: bytes
    number: bytes = b""
    place: str = ""


Split = Callable[[bytes], Iterator[_Token]]


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content is named like one of these."""
    return path.endswith(_JSON_NAMES + _CSV_NAMES + _NUMBER_NAMES)


def compare_table(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two texts have in common."""
    if max(a.size, b.size) > _MAX_BYTES:
        raise NotThis("too long to be read as text")
    splits = _splitter(path), _splitter(path)  # one for each: they remember whether a text goes on
    numbers = _Numbers(context.tolerance)
    for line, (left, right) in enumerate(zip_longest(_lines(a), _lines(b)), 1):
        if left is None or right is None:
            which = "first" if left is None else "second"
            return Finding(Level.DIFFERS, f"the {which} ends after line {line - 1}", f"line {line}")
        for x, y in zip_longest(splits[0](left), splits[1](right)):
            if x is None or y is None or x.text != y.text or not numbers.add(x, y, line):
                at = next((i for i, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), 0)
                shown = f"{show_line(left, at)} against {show_line(right, at)}"
                return Finding(Level.DIFFERS, f"line {line}: {shown}", f"line {line}")
    return numbers.finding()


def _splitter(path: bytes) -> Split:
    name = path.lower()
    if name.endswith(_JSON_NAMES):
        return _split_json
    return _Csv().split if name.endswith(_CSV_NAMES) else _split_numbers


class _Numbers:
    """The numbers of two texts, measured in batches."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._measured = Measured(FLOAT64, tolerance, ulps=False)
        self._a, self._b = array("d"), array("d")
        self._places: list[tuple[int, str]] = []
        self._first = self._first_outside = ""

    def add(self, a: _Token, b: _Token, line: int) -> bool:
        """Take a pair of tokens; false where only one is a number, or the two spell one value in two ways."""
        if not a.number or not b.number:
            return a.number == b.number
        value, other = float(a.number), float(b.number)
        if a.number != b.number and (value == other or math.isinf(value) or math.isinf(other)):
            return False
        self._a.append(value)
        self._b.append(other)
        self._places.append((line, a.place))
        if len(self._a) >= _BATCH:
            self._flush()
        return True

    def _flush(self) -> None:
        before = self._measured.count
        self._measured.add(_little(self._a), _little(self._b))
        self._first = self._first or self._place(self._measured.first, before)
        self._first_outside = self._first_outside or self._place(self._measured.first_outside, before)
        self._a, self._b, self._places = array("d"), array("d"), []

    def _place(self, index: int | None, before: int) -> str:
        if index is None:
            return ""
        line, place = self._places[index - before]
        return f"line {line}, {place}"

    def finding(self) -> Finding:
        """What all of them have in common; raises NotThis where no number differs, since something has to."""
        self._flush()
        if not self._measured.differing:
            raise NotThis("no number differs")
        return self._measured.finding(lambda _: self._first_outside or self._first)


def _little(values: array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _lines(window: Window) -> Iterator[bytes]:
    """Lines with their ends; raises NotThis for one that is too long."""
    rest = b""
    for piece in window.pieces():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > _MAX_LINE_BYTES:
            raise NotThis("a long line")
    if rest:
        yield rest


def _split_json(line: bytes) -> Iterator[_Token]:
    place, reached = b"", 0
    for match in _JSON.finditer(line):
        token = match[0]
        if match.start() != reached:
            break
        reached = match.end()
        if token[:1] in b"-0123456789" and _PLAIN.fullmatch(token):
            yield _Token(b"", token, f"after {show_line(place)}" if place else "a number")
        else:
            if token[:1] == b'"':
                place = token[1:-1]
            yield _Token(token)
    if reached != len(line):
        raise NotThis("a text without an end")


class _Csv:
    """Cuts lines, one after the other: a quoted text may go over several, and these have to be equal."""

    def __init__(self) -> None:
        self._names: list[str] | None = None
        self._in_text = False

    def split(self, line: bytes) -> Iterator[_Token]:
        """The fields and what is between them."""
        whole = self._in_text
        if line.count(b'"') % 2:
            whole, self._in_text = True, not self._in_text
        if whole:
            yield _Token(line)
            return
        end = line[len(line.rstrip(b"\r\n")) :]
        fields = _CSV.findall(line.rstrip(b"\r\n"))
        if self._names is None:
            self._names = [""]
            for field in fields:
                if field in _BETWEEN:
                    self._names.append("")
                else:
                    self._names[-1] += field.decode(errors="replace").strip('" ')
        column = 0
        for field in fields:
            column += field in _BETWEEN
            match = _PADDED.fullmatch(field)
            yield _Token(match[1] + b" " + match[3], match[2], self._place(column)) if match else _Token(field)
        yield _Token(end)

    def _place(self, column: int) -> str:
        names = self._names or []
        has_name = (
            column < len(names) and names[column] and not _PLAIN.fullmatch(names[column].encode(errors="replace"))
        )
        return f"column {names[column]!r}" if has_name else f"column {column + 1}"


def _split_numbers(line: bytes) -> Iterator[_Token]:
    """A line of nothing but numbers between blanks; any other line has to be equal."""
    words = line.split()
    if not words or not all(_PLAIN.fullmatch(word) or _INTEGER.fullmatch(word) for word in words):
        yield _Token(line)
        return
    for index, word in enumerate(words, 1):
        is_float = _PLAIN.fullmatch(word) is not None
        yield _Token(b"", word, f"column {index}") if is_float else _Token(word)
    for blank in re.split(rb"\S+", line):
        yield _Token(blank)
