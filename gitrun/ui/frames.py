"""Progress bars in a console: of a line that was written over again and again, what it came to.

A program that draws a bar goes back to the start of its line with `\\r` and writes the line anew, a hundred times a
second. A terminal shows the last of it and a file holds all. Where output is shown to people, a line is what it came
to: the last writing of it that holds something. The bytes that were kept stay as they are.
"""

from __future__ import annotations

_MOST_BYTES = 1 << 16  # of a line that does not end; beyond it is shown as it comes


class Collapser:
    """Takes output piece by piece and gives back what there is to show of it now.

    `redraw`: it goes to a terminal, where an unfinished line is shown as well, and drawn anew when it changes; else a
    line is shown when it has ended.
    """

    def __init__(self, redraw: bool) -> None:
        self._redraw = redraw
        self._line = b""  # the last writing of the line that has not ended
        self._shown = b""  # of it, what is on the terminal

    def feed(self, data: bytes) -> bytes:
        """What to show after this piece of output."""
        *ended, rest = (self._line + data).split(b"\n")
        out = b"".join(self._draw(last_writing(line)) + self._end() for line in ended)
        text = last_writing(rest)
        self._line = text + b"\r" if rest.endswith(b"\r") else text
        if self._redraw or len(self._line) > _MOST_BYTES:
            out += self._draw(text)
        if len(self._line) > _MOST_BYTES:
            self._line = self._shown = b""
        return out

    def finish(self) -> bytes:
        """What is left at the end."""
        return self._draw(last_writing(self._line))

    def _draw(self, text: bytes) -> bytes:
        """What makes a line that shows so much of itself show this."""
        before, self._shown = self._shown, text
        if text.startswith(before):
            return text[len(before) :]
        return b"\r\x1b[K" + text if self._redraw else text

    def _end(self) -> bytes:
        self._shown = b""
        return b"\n"


def last_writing(line: bytes) -> bytes:
    """The last writing of a line that holds something."""
    return next((text for text in reversed(line.split(b"\r")) if text), b"")
