"""Text from records made safe for a commit message and for a terminal.

A command, a file name or a run's name can hold newlines that forge a trailer, escape sequences
that rewrite the screen, and bidirectional marks that make a line read as something else. Each
such character is shown as the escape a programmer would type; nothing is dropped.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls, C0 and C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # line separators and direction marks
    "\ud800-\udfff]"  # lone surrogates: bytes that are not UTF-8
)
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1b": "\\e"}


def harmless(text: str, limit: int | None = None) -> str:
    """`text` on one line of plain Unicode, cut at `limit` characters with an ellipsis."""
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    safe = text if text.isprintable() else _UNSAFE.sub(_escape, text)
    return safe if limit is None or len(safe) <= limit else safe[: limit - 1] + "…"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return _NAMED.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
