"""Where text goes and what that place can show.

The same list is a table with colours on a terminal and plain lines in a pipe; NO_COLOR and
TERM=dumb are honoured. Everything from a record passes `harmless` before it gets here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import BinaryIO, TextIO

# Everything but line ends, tabs and the colours Git itself writes.
_UNSAFE = re.compile(rb"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]|\x1b(?!\[[0-9;]*m)")
_STYLES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip

STATUS_STYLE = {
    "completed": "green",
    "failed": "red",
    "interrupted": "yellow",
    "lost": "yellow",
    "unknown": "yellow",
    "running": "cyan",
    "damaged": "red",
}


class Screen:
    """One output stream: whether it is a terminal, its width, and whether it takes colours."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.colour = self.is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """Columns of the terminal; unlimited in a pipe."""
        if not self.is_terminal:
            return sys.maxsize
        import shutil  # with all that it compresses by: a list in a pipe needs none of it

        return shutil.get_terminal_size().columns

    def style(self, text: str, style: str | None) -> str:
        """`text` in a style of the table, plain where there are no colours."""
        code = _STYLES.get(style or "")
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.colour and text else text

    def line(self, text: str = "") -> None:
        """Write one line."""
        self.stream.write(text + "\n")

    def data(self, data: bytes) -> None:
        """Write bytes exactly as they are, after what was written as text."""
        self.stream.flush()
        buffer: BinaryIO | None = getattr(self.stream, "buffer", None)
        if buffer is None:
            self.stream.write(data.decode("utf-8", "replace"))
            return
        buffer.write(data)
        buffer.flush()

    def foreign(self, data: bytes) -> None:
        """Write what is in somebody's files, a `git diff` of them as well; it may not drive a terminal."""
        self.data(_UNSAFE.sub(_caret, data) if self.is_terminal else data)


def _caret(match: re.Match[bytes]) -> bytes:
    return b"^" + bytes([match[0][0] ^ 0x40])


def stdout(environ: Mapping[str, str] = os.environ) -> Screen:
    """The screen results go to."""
    return Screen(sys.stdout, environ)


def stderr(environ: Mapping[str, str] = os.environ) -> Screen:
    """The screen messages go to."""
    return Screen(sys.stderr, environ)
