"""Where the files really lie that the processes of a run see under other names.

A replay may see its checkout at the place of the recorded worktree (spec/replay), and only the replay does: whoever
records it stands outside. So what its processes report is told under names that mean other files here. The names are
written into the member's directory before the command starts, and every reader of a report asks them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence

NAME = "places"
_MOST_BYTES = 1 << 20


class Places:
    """Pairs of a name that the processes see and the path that it means here; the longest name that fits counts."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def real(self, path: bytes) -> bytes:
        """Where a path that a process names lies here; one that is not absolute, or is ours already, is left as it is.

        A replay's checkout may lie below the very worktree whose name it has inside.
        """
        if any(path == real or path.startswith(real + b"/") for _, real in self._pairs):
            return path
        for seen, real in self._pairs:
            if path == seen or path.startswith(seen + b"/"):
                return real + path[len(seen) :]
        return path

    def real_from(self, cwd: bytes, path: bytes) -> bytes:
        """Where a relative path lies here, for a process that stands in what is `cwd` here."""
        above = [pair for pair in self._pairs if cwd == pair[1] or cwd.startswith(pair[1] + b"/")]
        if not above:
            return os.path.join(cwd, path)
        seen, real = max(above, key=lambda pair: len(pair[1]))  # a checkout lies below the archive, which is shown too
        return self.real(os.path.normpath(os.path.join(seen + cwd[len(real) :], path)))

    def real_word(self, word: bytes) -> bytes:
        """A word of a command: a path, also behind its first `=`."""
        if not self._pairs:
            return word
        before, equals, value = word.partition(b"=")
        return before + equals + self.real(value) if value.startswith(b"/") else self.real(word)

    def real_words(self, words: Iterable[str]) -> list[str]:
        """The words of a command as a record has them."""
        return [os.fsdecode(self.real_word(os.fsencode(word))) for word in words]

    def real_list(self, text: str) -> str:
        """Paths that are joined by colons."""
        return ":".join(os.fsdecode(self.real(os.fsencode(part))) for part in text.split(":")) if self._pairs else text


AS_HERE = Places()


def write_places(member: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Writes the names into a member's directory; raises OSError."""
    # Not files.write: like the member's other files it is made before the command, and sealing reads it at most once.
    with open(os.path.join(member, NAME), "w", encoding="ascii") as file:
        json.dump([[seen, real] for seen, real in pairs], file)


def read_places(member: str) -> Places:
    """The names of a member; none for a run whose processes see what everybody sees."""
    try:
        with open(os.path.join(member, NAME), encoding="ascii") as file:
            found = json.loads(file.read(_MOST_BYTES))
        return Places((os.fsencode(seen), os.fsencode(real)) for seen, real in found)
    except FileNotFoundError:
        return AS_HERE
    except (OSError, ValueError, TypeError):
        return AS_HERE  # written by the recorder itself, so this is a damaged disk: names are taken as they are told
