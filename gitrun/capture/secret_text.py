"""Finds secrets in any text by what stands before them: `password=x`, `"api_key": "x"`, `--token x`, `Cookie: x`.

A name that promises a secret makes one of the value behind it; where a value begins and ends is what this is about.
Known forms of tokens and the values of secret variables are looked for first. Everything is done on bytes, in time
linear in their number, and text without any of the tell-tale words costs a few substring searches and no regular
expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from gitrun.capture.secret_formats import redact_formats
from gitrun.capture.secret_names import (
    CERTAIN,
    NO,
    TOKEN,
    certainty,
    has_content,
    has_keyword,
    is_secret,
    is_secret_option,
    may_be_secret,
    placeholder,
)
from gitrun.capture.secret_values import KnownSecrets

_SHORT_BYTES = 1 << 10

# Keywords that an assignment follows, in lower-case text. Each expression begins with one letter that is not
# frequent, since `re` jumps from one to the next, and rules out words that logs and sources are full of and no
# secret's name has; where a keyword begins before that letter, a table tells how far.
_ASSIGNED = (
    rb"k(?:ey|(?<=tok)en|(?<=cook)ie)",
    rb"p(?:ass|wd|at(?![ht]))",
    rb"c(?:red|(?<=sec)ret)",
    rb"u(?<=au)th(?!or(?!iz))",
    rb"jwt",
    rb"bearer",
)
_LETTERS_BEFORE = {b"ken": 2, b"kie": 3, b"cret": 2, b"uth": 1}
_IS_ASSIGNED = rb"(?=[a-z0-9_.\-]{0,40}([\"'\]\\]{0,4})(\s{0,2})([=:])(\s{0,2}))"
# Expressions are made when they are first needed: a recorder that meets no such text does not wait for it.
_DIGIT = b"[0-9]"
NAME_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_VALUE = (
    rb"\"(?P<double>[^\"\\]*(?:\\.[^\"\\]*)*)|'(?P<single>[^']*)|\\+[\"'](?P<escaped>(?:[^\"'\\]|\\+[^\"'\\])*)"
    rb"|(?P<bare>[^\s\"'&;,)}\]]{1,256})"
)
_BARE_REST = rb"[^\s\"'&;,)}\]]*"
_LINE, _LINE_REST = rb"(?P<line>[^\r\n\"']{1,256})", rb"[^\r\n\"']*"
_QUERY, _QUERY_REST = rb"(?P<query>[^\s\"'&#<>]{1,256})", rb"[^\s\"'&#<>]*"
# `--name value` inside one word: what a shell, ssh or NODE_OPTIONS gets, or a list of words that was printed.
_INNER_OPTION = (
    rb"-(?<![\w\-]-)-?([A-Za-z][A-Za-z0-9_.\-]{0,63})(?:[ \t]{1,8}|[\"'], ?(?=[\"']))(?!--|-[A-Za-z](?:\s|\Z))"
)
_INNER_VALUE = rb"\"([^\"]*)|'([^']*)|\\+[\"']([^\"'\\]*)|([^\s\"'&;|)]+)"
_PROSE = set(
    "is are was to or and for as in with on of from the a an must not option options flag cannot can if instead has "
    "should requires when were may will argument value by at it".split()
)


class SecretText:
    """Knows the secrets of its environments, and remembers in `names` which ones it has met."""

    def __init__(self, *environs: Mapping[str, str]) -> None:
        self.names: set[str] = set()
        self.hidden: list[tuple[bytes, str]] = []
        self.secrets = KnownSecrets(*environs)
        self._holes: dict[str, bytes] = {}

    def redact(self, data: bytes) -> bytes:
        """`data` without anything that is known for a secret or that names and shapes give away."""
        return self.found(self.known(data))

    def known(self, data: bytes) -> bytes:
        """`data` without the values of the environment's secret variables."""
        return self.secrets.replace(data, self.hole)

    def found(self, data: bytes) -> bytes:
        """`data` without what names and shapes give away."""
        return self.named(redact_formats(data, self.names))

    def named(self, data: bytes) -> bytes:
        """`data` without what names give away."""
        if len(data) < _SHORT_BYTES and not has_keyword(data) and b"pw" not in data:
            return data
        return self.behind_names(data)

    def behind_names(self, data: bytes) -> bytes:
        """As `named`, where a keyword was seen."""
        if b"=" in data or b":" in data:
            data = self._assignments(data)
        return self._options(data) if b"-" in data else data

    def _options(self, data: bytes) -> bytes:
        """`--name value` inside a longer text."""
        kept: list[bytes] = []
        at = 0
        for match in re.compile(_INNER_OPTION).finditer(data):
            name = latin(match[1])
            if match.start() < at or not may_be_secret(name, True):
                continue
            value = re.compile(_INNER_VALUE).match(data, match.end())
            if value is None or not value.lastindex:
                continue
            said = latin(value[value.lastindex])
            prose = value.lastindex == 4 and said.rstrip(".,:").lower() in _PROSE
            metavar = said.isupper() and name.lower().replace("-", "_").endswith(said.lower())
            if prose or metavar or not is_secret_option(name, said):
                continue
            start, end = value.span(value.lastindex)
            kept += [data[at:start], self.hole(name)]
            at = end
        return b"".join(kept) + data[at:] if kept else data

    def _assignments(self, data: bytes) -> bytes:
        """`name=value`, `"name": "value"` and `Name: value` inside a longer text."""
        kept: list[bytes] = []
        at = seen = digit = 0
        for start, match in _assigned_keywords(data):
            if start < at or start < seen or data[start - 1 : start] == b"<":
                continue
            seen = match.end()
            left = data[max(at, start - 64) : start]
            before = left[len(left.rstrip(NAME_CHARS)) :]
            name = defined(before + data[start : match.start(1)])
            sure = certainty(name)
            if sure == NO:
                continue
            if digit < match.end(4):
                digit = _next_digit(data, match.end(4))
            first = start - len(before)
            query = match[3] == b"=" and data[max(first - 1, 0) : first] in (b"?", b"&")
            explicit = query or (before.startswith(b"--") and match[3] == b"=")
            found = _query(data, match.end(4)) if query else _assigned(name, sure, data, match, digit, explicit)
            if found is not None:
                start, end = found
                kept += [data[at:start], self.hole(name)]
                at = end
        return b"".join(kept) + data[at:] if kept else data

    def hide(self, secret: bytes, name: str) -> bytes:
        """What stands for a secret that is a word or the rest of one; it is noted in `hidden`."""
        self.hidden.append((secret, name))
        return self.hole(name)

    def hole(self, name: str) -> bytes:
        """What stands for a secret of this name, which is remembered."""
        hole = self._holes.get(name)
        if hole is None:
            data = encode(name)
            is_secret_itself = self.secrets.names_in(data) or redact_formats(data, set()) != data
            hole = self._holes[name] = placeholder("name" if is_secret_itself else name)
        self.names.add(hole[8:-1].decode("ascii"))
        return hole


def _assigned_keywords(data: bytes) -> list[tuple[int, re.Match[bytes]]]:
    """Where keywords begin that an assignment follows, in their order."""
    lowered = data.lower()
    found = [
        (match.start() - _LETTERS_BEFORE.get(match[0], 0), match)
        for pattern in _assigned_patterns(len(data) < _SHORT_BYTES)
        for match in pattern.finditer(lowered)
    ]
    return sorted(found, key=lambda pair: pair[0])


@lru_cache(maxsize=2)
def _assigned_patterns(short: bool) -> list[re.Pattern[bytes]]:
    """Of a short text all at once: no keyword ends with what another begins with, so that each is found."""
    keywords = (b"(?:" + b"|".join(_ASSIGNED) + b")",) if short else _ASSIGNED
    return [re.compile(keyword + _IS_ASSIGNED) for keyword in keywords]


def _assigned(
    name: str, sure: int, data: bytes, match: re.Match[bytes], digit: int, option: bool
) -> tuple[int, int] | None:
    """Where the secret value of an assignment lies, or None when there is none; `digit` is where the next one is.

    Source code passed to `python -c` must survive: an unquoted value counts only where it is written
    without spaces around `=` and cannot be an expression, and prose (`the next token: 5`) only where
    the name is certain, or is a header's (`PRIVATE-TOKEN: x`).
    """
    quoted_name, colon = bool(match[1]), match[3] == b":"
    option = option or (colon and not quoted_name and sure == TOKEN and "-" in name)
    if option:
        sure = CERTAIN
    if sure < (CERTAIN if colon and not quoted_name else 1):
        return None
    if sure < CERTAIN and digit >= match.end(4) + 256 and data[match.end(4) : match.end(4) + 1] not in b"\"'":
        return None  # as below, without a look at the value, so that refusing many of them stays cheap
    quoted = data[match.end(4) : match.end(4) + 1] in b"\"'\\"
    header = colon and not quoted and name.lower().endswith(("authorization", "cookie"))
    value = re.compile(_LINE if header else _VALUE).match(data, match.end(4))
    if value is None:
        return None
    group = value.lastgroup or 0
    if group == "bare":
        bare = value[group]
        spaced = not colon and (match[2] or match[4])
        vague = sure < CERTAIN and (len(bare) < 16 or digit >= value.end(group))
        if spaced or vague or b"(" in bare or b"[" in bare or latin(bare) == name.rpartition(".")[2]:
            return None
    if not is_secret(name, latin(value[group])):
        return None
    # only the start of an unquoted value was looked at, for the same reason
    rest = re.compile(_LINE_REST if header else _BARE_REST).match(data, value.end(group))
    end = rest.end() if rest and group in ("bare", "line") else value.end(group)
    return value.start(group), end


def _query(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the value of a query parameter lies; behind `?` and `&` it is no source code."""
    value = re.compile(_QUERY).match(data, at)
    if value is None or not has_content(latin(value["query"])):
        return None
    rest = re.compile(_QUERY_REST).match(data, value.end())
    return value.start(), rest.end() if rest else value.end()


def defined(word: bytes) -> str:
    """The name in an assignment; `-DPassword=x` and `-Ppassword=x` define it."""
    if word[:2] in (b"-D", b"-P"):
        word = word[2:]
    return latin(word).lstrip("-.")


def _next_digit(data: bytes, at: int) -> int:
    found = re.compile(_DIGIT).search(data, at)
    return found.start() if found else len(data) + 256


def latin(data: bytes) -> str:
    """A name or a value as it is judged: each byte is a character."""
    return data.decode("latin-1")


def encode(text: str) -> bytes:
    """The bytes that a text stands for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte, as JSON may hold
        return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """The other way."""
    return data.decode("utf-8", "surrogateescape")
