"""SVG as matplotlib writes it: the same drawing, under other random ids and at another date.

Ids are a letter and ten hexadecimal digits, drawn anew for each figure unless `svg.hashsalt` is set. Each is
replaced by its number in the order of the file, in the attributes that name or use it, and only in tags: text
that looks like one stays. The date is the one element `dc:date` of the metadata.
"""

from __future__ import annotations

import re

from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.plain import show_line
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_MAX_BYTES = 32 << 20
_MAX_TOKENS = 1 << 21
_NEW_LINE = b"\n"
_TOKEN = re.compile(
    rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<![A-Za-z][^<>\[\]]*>"
    rb"|<[A-Za-z/](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*>|[^<]+",
    re.DOTALL,
)
_DEFINED = re.compile(rb"\sid=\"([A-Za-z][0-9a-f]{10})\"")
_USED = re.compile(rb"(\sid=\"|\s(?:xlink:)?href=\"#|url\(#)([A-Za-z][0-9a-f]{10})(?=[\")])")
_DATE = re.compile(rb"\s*\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?\s*")


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content is named, and begins, like a drawing."""
    return path.endswith(b".svg") and head.lstrip().startswith((b"<?xml", b"<svg", b"<!DOCTYPE svg"))


def compare_svg(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two drawings have in common."""
    left, right = _without_chance(a.all(_MAX_BYTES)), _without_chance(b.all(_MAX_BYTES))
    if left == right:
        return Finding(Level.SEMANTIC, "the same drawing, only its random ids or its date differ", "its ids")
    index = next((i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    x, y = (each[index] if index < len(each) else b"" for each in (left, right))
    at = next((i for i, (one, other) in enumerate(zip(x, y, strict=False)) if one != other), 0)
    where = f"line {1 + sum(token.count(_NEW_LINE) for token in left[:index])}"
    return Finding(Level.DIFFERS, f"{where}: {show_line(x, at)} against {show_line(y, at)}", where)


def _without_chance(data: bytes) -> list[bytes]:
    """The drawing's tags and texts, ids numbered and the date left out."""
    if b"\0" in data:
        raise NotThis("no XML")
    tokens: list[bytes] = []
    at = 0
    while at < len(data):
        match = _TOKEN.match(data, at)
        if match is None or len(tokens) >= _MAX_TOKENS:
            raise NotThis("no XML")
        tokens.append(match[0])
        at = match.end()
    ids: dict[bytes, bytes] = {}
    defined = {found for token in tokens if _is_tag(token) for found in _DEFINED.findall(token)}

    def number(match: re.Match[bytes]) -> bytes:
        if match[2] not in defined:
            return match[0]
        return match[1] + ids.setdefault(match[2], b"\0%c%d" % (match[2][:1], len(ids)))

    for index, token in enumerate(tokens):
        if _is_tag(token):
            tokens[index] = _USED.sub(number, token)
        elif index and tokens[index - 1] == b"<dc:date>" and _DATE.fullmatch(token):
            tokens[index] = b"<date>"
    return tokens


def _is_tag(token: bytes) -> bool:
    return token[:1] == b"<" and token[1:2].isalpha()
