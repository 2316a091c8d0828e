"""Which paths a conversion could touch: where the bytes on disk need not be the bytes Git stores.

Git decides with attributes (text, eol, ident, filter, working-tree-encoding) and core.autocrlf.
A snapshot needs only an upper bound, since for the few files it cannot rule out it compares bytes or
asks git itself. So a rule that sets something counts, one that unsets is not believed, and a
repository without any attributes file or core.autocrlf is done after a few failed opens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from gitrun.git.ignore import Rule, make_rule, read_rules, user_file
from gitrun.git.repository import Repository

# What may happen to a file: line ends change (CR LF), `$Id$` is filled in, or anything at all.
EOL, IDENT, FILTER = 1, 2, 4
ANYTHING = EOL | IDENT | FILTER
FILE = b".gitattributes"
_SYSTEM = b"/etc/gitattributes"


class Attributes:
    """An upper bound of the conversions of one worktree."""

    def __init__(self, everywhere: int, filters: frozenset[bytes], ignore_case: bool) -> None:
        self._everywhere = everywhere
        self._filters = filters
        self._ignore_case = ignore_case
        self._macros: dict[bytes, int] = {}
        self._rules: list[tuple[bytes, Rule, int]] = []
        self._under: list[tuple[bytes, int]] = []

    def __bool__(self) -> bool:
        return bool(self._everywhere or self._rules or self._under)

    def touches(self, path: bytes) -> int:
        """What may happen to the file at `path`: a union of EOL, IDENT and FILTER, or 0."""
        kinds = self._everywhere
        name = path[path.rfind(b"/") + 1 :]
        for prefix, rule, kind in self._rules:
            if kind & ~kinds and path.startswith(prefix) and rule.matches(path[len(prefix) :], name):
                kinds |= kind
        for prefix, kind in self._under:
            if path.startswith(prefix):
                kinds |= kind
        return kinds

    def read(self, prefix: bytes, data: bytes) -> None:
        """Add the rules of one attributes file that lies in the directory `prefix`."""
        for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
            line = line.strip(b" \t\r\n")
            if not line or line.startswith(b"#"):
                continue
            if line.startswith(b"[attr]"):
                words = line[len(b"[attr]") :].split()
                if words:
                    self._macros[words[0]] = self._macros.get(words[0], 0) | self._kinds(words[1:])
                continue
            pattern, rest = _split(line)
            kinds = self._kinds(rest.split())
            if kinds and not pattern.startswith(b"!") and (rule := make_rule(pattern, False, self._ignore_case)):
                self._rules.append((prefix, rule, kinds))

    def distrust(self, prefix: bytes) -> None:
        """Anything may happen below `prefix`: its attributes file cannot be read from the disk."""
        self._under.append((prefix, ANYTHING))

    def _kinds(self, words: Iterable[bytes]) -> int:
        kinds = 0
        for word in words:
            name, _, value = word.partition(b"=")
            if name in (b"text", b"crlf", b"eol"):
                kinds |= EOL
            elif name == b"ident":
                kinds |= IDENT
            elif (name == b"filter" and value in self._filters) or (name == b"working-tree-encoding" and value):
                kinds |= FILTER
            else:
                kinds |= self._macros.get(name, 0)
        return kinds


def find_attributes(repo: Repository, directories: Iterable[bytes]) -> Attributes | None:
    """The bound for a worktree whose attributes files lie in `directories`; None when nothing converts anything."""
    assert repo.worktree is not None
    config = repo.config
    keys = config.keys("filter.")
    filters = frozenset(os.fsencode(key[len("filter.") : key.rindex(".")]) for key in keys)
    everywhere = EOL if (config.get("core.autocrlf") or "false").lower() not in ("false", "no", "off", "0", "") else 0
    attributes = Attributes(everywhere, filters, config.get_bool("core.ignorecase"))
    outer = [] if repo.environ.get("GIT_ATTR_NOSYSTEM") else [_SYSTEM]
    if user := user_file(repo, "core.attributesfile", "attributes"):
        outer.append(os.fsencode(user))
    outer.append(os.fsencode(os.path.join(repo.common_dir, "info", "attributes")))
    for path in outer:
        attributes.read(b"", read_rules(path))
    top = os.fsencode(repo.worktree) + b"/"
    for directory in sorted(directories):
        if os.path.lexists(top + directory + FILE):
            attributes.read(directory, read_rules(top + directory + FILE, os.O_NOFOLLOW))
        else:
            attributes.distrust(directory)  # Git then reads the one in its index
    return attributes if attributes else None


def _split(line: bytes) -> tuple[bytes, bytes]:
    """The pattern of a line, which may be quoted, and its attributes."""
    if line.startswith(b'"') and (end := line.find(b'"', 1)) > 0:
        while line[end - 1 : end] == b"\\" and (further := line.find(b'"', end + 1)) > 0:
            end = further
        quoted = line[1:end]
        plain = quoted.decode("latin-1").encode("ascii", "backslashreplace").decode("unicode_escape").encode("latin-1")
        return plain, line[end + 1 :]
    pattern, _, rest = line.replace(b"\t", b" ").partition(b" ")
    return pattern, rest
