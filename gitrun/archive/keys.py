"""Keys: what of a run can be asked for, as people write it.

    status, tag, started          what every run has (`FIELDS`)
    verdict, replayed             what a replay says of the run it repeats; the weakest that its replays say of a run
    config.lr, config.'a b'       a value that the run was told, by its flat name
    metrics.loss                  the last value of a metric
    min:metrics.'val/acc'         its least value; also `max:` and `first:`
    summary.best                  what the program said at the end

A key is only a name here. Whether any run has it is for the archive to say, and an unknown one is an error that
lists near names: an empty list because of a misspelled key would be a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from gitrun.errors import ExpressionError

# What every run has, and how it is compared.
FIELDS = {
    "id": "text",
    "status": "text",
    "name": "text",
    "group": "text",
    "command": "text",
    "started": "time",
    "ended": "time",
    "duration": "seconds",
    "exit": "text",
    "changes": "number",
    "tag": "list",
    "note": "list",
    "branch": "text",
    "dirty": "flag",
    "host": "text",
    "parent": "text",
    "replay_of": "text",
    "verdict": "text",
    "replayed": "text",
    "resumed_from": "text",
    "problem": "text",
}
# Fields that other runs have the answer to.
DERIVED = ("replayed",)
# The same fields as JSON and CSV call them.
ALIASES = {
    "tags": "tag",
    "notes": "note",
    "started_at": "started",
    "ended_at": "ended",
    "duration_s": "duration",
}
SPACES = ("config", "metrics", "summary")
PARTS_OF_METRIC = ("min", "max", "first")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<sign>==|!=|<=|>=|[<>=~!])
    | (?P<parenthesis>[()])
    | (?P<comma>,)
    | '(?P<single>(?:[^'\\]|\\.)*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | (?P<word>[^\s()<>=~!'",]+)""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[\w./:@%+-]+")


class Key(NamedTuple):
    """The name of something that a run has; `of` is min, max or first for such a value of a metric."""

    name: str
    of: str = ""
    at: int = 0

    @property
    def kind(self) -> str:
        """How it is compared: "time", "seconds" and so on; "value" for what the run itself has brought."""
        return FIELDS.get(self.name, "value")

    @property
    def short(self) -> str:
        """The name for a column: without the `config.` or `metrics.` before it."""
        space, dot, rest = self.name.partition(".")
        return (self.of + ":" if self.of else "") + (rest if dot and space in SPACES else self.name)

    def __str__(self) -> str:
        space, dot, rest = self.name.partition(".")
        quoted = dot and space in SPACES and not _PLAIN.fullmatch(rest)
        return (self.of + ":" if self.of else "") + (space + "." + _quoted(rest) if quoted else self.name)


class Token(NamedTuple):
    """A piece of what was typed: its kind ("word", "quoted", "sign", "(", ")", ",", "end"), its text, its place."""

    kind: str
    text: str
    at: int
    end: int


def tokens(text: str) -> list[Token]:
    """The pieces of an expression, with an "end" behind them; raises ExpressionError."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise complaint(text, at, "this quote is never closed")
        kind, value, end = match.lastgroup or "", match[match.lastgroup or 0], match.end()
        if kind in ("single", "double"):
            found.append(Token("quoted", re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL), at, end))
        elif kind in ("parenthesis", "comma"):
            found.append(Token(value, value, at, end))
        elif kind != "space":
            found.append(Token(kind, value, at, end))
        at = end
    return [*found, Token("end", "", len(text), len(text))]


def read_key(text: str, found: list[Token], at: int) -> tuple[Key, int]:
    """The key that begins with a token, and the number of the token behind it; raises ExpressionError."""
    first = found[at]
    name, end = "", first.at
    while found[at].kind in ("word", "quoted") and found[at].at == end:
        name, end, at = name + found[at].text, found[at].end, at + 1
    of, colon, rest = name.partition(":")
    if colon and of in PARTS_OF_METRIC:
        return Key(rest, of, first.at), at
    if not name:
        raise complaint(text, first.at, "an empty key")
    return Key(ALIASES.get(name, name), "", first.at), at


def parse_keys(text: str) -> list[Key]:
    """The keys in a list with commas between them; raises ExpressionError."""
    found, at = tokens(text), 0
    keys = []
    while True:
        if found[at].kind not in ("word", "quoted"):
            raise complaint(text, found[at].at, "here goes a key, such as status, config.lr or metrics.loss")
        key, at = read_key(text, found, at)
        keys.append(key)
        if found[at].kind == "end":
            return keys
        if found[at].kind != ",":
            raise complaint(text, found[at].at, "keys are separated by commas")
        at += 1


def complaint(text: str, at: int, what: str, next: str = "gitrun ls --help") -> ExpressionError:
    """The error that points at a place of what was typed."""
    return ExpressionError(what, text, at, next=next)


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known keys that somebody may have meant, the likeliest first."""
    from difflib import get_close_matches  # only for an error

    by_end: dict[str, list[str]] = {}
    for key in known:
        by_end.setdefault(_end(key), []).append(key)
    wanted = _end(name)
    ends = [*get_close_matches(wanted, by_end, 4, 0.6), *(end for end in by_end if len(wanted) > 2 and wanted in end)]
    return [key for end in dict.fromkeys(ends) for key in by_end[end]][:5]


def _end(name: str) -> str:
    """The name without `config.` and the like, which all keys of a kind have alike."""
    space, dot, rest = name.partition(".")
    return (rest if dot and space in SPACES else name).lower()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
