"""PDF: the same document, whenever it was made.

Only the dates of the document's own information may differ, and only where they take the same room, so that
every other byte lies where it lay. The object with them is found as a reader finds it: by the table at the end.
"""

from __future__ import annotations

import re

from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.window import Window, first_difference
from gitrun.replay.levels import Finding, Level

_START = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF\s*")
_TABLE = re.compile(rb"xref\s+0 (\d{1,7}) ?\r?\n")
_TRAILER = re.compile(rb"trailer\s*<<([^<>]*)>>\s*$")
_INFO = re.compile(rb"/Info (\d{1,7}) 0 R\b")
_DATE = re.compile(rb"/(?:CreationDate|ModDate) ?\(D:([0-9Z+'-]{4,24})\)")
# Names with texts or numbers; a text with parentheses in it might look like a date. Nothing is tried in two ways: a
# dozen names behind each other, and then something else, would take for ever.
_PLAIN = re.compile(rb"(?>\s*/[A-Za-z]++ ?(?:\([^()\\]*+\)|[^()<>/\\]*+))*+\s*")
_TAIL_BYTES = 8 << 20
_INFO_BYTES = 1 << 16
_ENTRY_BYTES = 20


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return head.startswith(b"%PDF-")


def compare_pdf(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two documents have in common; raises NotThis for all but a change of dates."""
    spans = _dates(a)
    if a.size != b.size or spans != _dates(b):
        raise NotThis("more than the dates")
    reached = 0
    for begin, end in [*spans, (a.size, a.size)]:
        if first_difference(a.part(reached, begin - reached), b.part(reached, begin - reached)) is not None:
            raise NotThis("more than the dates")
        reached = end
    return Finding(Level.SEMANTIC, "the same document, only its dates differ", "the dates")


def _dates(window: Window) -> list[tuple[int, int]]:
    """Where the digits of the dates are."""
    tail = window.at_most(max(0, window.size - _TAIL_BYTES), _TAIL_BYTES)
    starts = list(_START.finditer(tail[-1024:]))
    if not starts or starts[-1].end() != len(tail[-1024:]):
        raise NotThis("no end of a document")
    table_at = int(starts[-1][1])
    table = window.read(table_at, window.size - table_at) if window.size - table_at <= _TAIL_BYTES else b""
    head = _TABLE.match(table)
    trailer = _TRAILER.search(table[: table.rfind(b"startxref")])
    info = _INFO.search(trailer[1]) if trailer else None
    # An earlier table would be a document that was changed later: then which object counts is not told here.
    if head is None or trailer is None or info is None or b"/Prev" in trailer[1]:
        raise NotThis("no table of the objects")
    number = int(info[1])
    entry = table[head.end() + number * _ENTRY_BYTES :][:_ENTRY_BYTES]
    if number >= int(head[1]) or not re.fullmatch(rb"\d{10} \d{5} n[ \r][\r\n]", entry):
        raise NotThis("no such object")
    at = int(entry[:10])
    text = window.at_most(at, _INFO_BYTES)
    found = re.match(rb"%d 0 obj\s*<<(.*?)>>\s*endobj" % number, text, re.DOTALL)
    if found is None or not _PLAIN.fullmatch(found[1]):
        raise NotThis("the information is written in another way")
    return [(at + match.start(1), at + match.end(1)) for match in _DATE.finditer(text, 0, found.end())]
