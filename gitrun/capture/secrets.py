"""Replaces secrets before anything is stored, hashed or shown: `--password x` becomes `--password <secret:password>`.

A secret that reaches an archive is there for ever and travels with every push, so replacing must come
first; even a hash of one would let others test guesses. There are four ways to know one, tried in this order:

1. the value of a variable whose name promises a secret, wherever it occurs (`<secret:HF_TOKEN>`, which
   tells a replay where to ask for it);
2. the name an option, an assignment or a key gives it (secret_names);
3. its own shape (secret_formats);
4. the password of a URL.

Everything is done on bytes, in time linear in their number, and text without any of the tell-tale words
costs a few substring searches and no regular expression.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from gitrun.capture.secret_formats import redact_formats
from gitrun.capture.secret_names import (
    CERTAIN,
    NO,
    TOKEN,
    certainty,
    has_content,
    is_plural,
    is_secret,
    is_secret_option,
    looks_like_token,
    may_be_secret,
    placeholder,
)

Text = TypeVar("Text", str, bytes)

MIN_VARIABLE_CHARS = 8
MAX_DEPTH = 64
_SHORT_BYTES = 1 << 10
# Values too common to be looked for in a whole command line, though they stand under a secret's name.
_COMMON = {"password", "passw0rd", "postgres", "changeme", "anonymous", "localhost", "username", "training"}

_KEYWORDS = (b"pass", b"secret", b"token", b"key", b"cred", b"auth", b"cookie", b"jwt", b"pwd", b"pat", b"bearer")
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
_NAME_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
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
_OPTION = rb"(-{0,2})([A-Za-z_][A-Za-z0-9_.\-/@+]{0,255})=(?s:(.*))"

# Which options of which programs hold a secret though no name says so: alone, joined to it, and as `user:password`.
_LOGIN = ((b"-p",), (), ())
_PROGRAMS: dict[bytes, tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]] = {
    b"curl": ((b"-b",), (b"-b",), (b"-u", b"-U", b"--user", b"--proxy-user")),
    b"wget": ((), (), (b"-u", b"--user", b"--proxy-user")),
    b"sshpass": ((b"-p",), (b"-p",), ()),
    b"redis-cli": ((b"-a",), (), ()),
    b"mysql": ((), (b"-p",), ()),
    b"mysqldump": ((), (b"-p",), ()),
    b"mariadb": ((), (b"-p",), ()),
    **dict.fromkeys((b"docker login", b"podman login", b"helm login", b"skopeo login", b"oras login"), _LOGIN),
}
_OF_PROGRAM = {b"-b": "cookie"}
_WRAPPERS = {b"sudo", b"env", b"time", b"nohup", b"nice", b"timeout", b"exec", b"command", b"srun"}


class Redactor:
    """Knows the secrets of its environments, and remembers in `names` which ones it has met."""

    def __init__(self, *environs: Mapping[str, str]) -> None:
        self.names: set[str] = set()
        found = {pair: None for environ in environs for pair in secret_variables(environ)}
        self._variables = sorted(found, key=lambda pair: (-len(pair[0]), pair[1]))

    @property
    def values(self) -> list[bytes]:
        """The secrets that are known word by word, longest first."""
        return [value for value, _ in self._variables]

    def argv(self, argv: Sequence[bytes]) -> list[bytes]:
        """A command line: values of options with secret names, in one word or two, and what `text` finds."""
        redacted: list[bytes] = []
        program = _program(argv)
        alone, joined, users = _PROGRAMS.get(program, ((), (), ()))
        pending = ""  # the secret name of an option whose value is the next word
        more = ""  # as pending, but further words count only where they look like tokens
        for word in argv:
            before = redacted[-1] if redacted else b""
            plain = self._known(word)
            if before == b"-c":
                plain = self._found(plain)  # source code, not one assignment
            elif pending and not re.match(rb"--|-[A-Za-z]\Z", word) and is_secret_option(pending, _latin(plain)):
                plain = self._hole(pending)
            elif more and looks_like_token(_latin(plain)):
                plain = self._hole(more)
            elif before in users:
                plain = self._after_colon(plain)
            elif before in alone and has_content(_latin(plain)) and (before != b"-b" or b"=" in plain):
                plain = self._hole(_OF_PROGRAM.get(before, "password"))
            elif word[:2] in joined and len(word) > 2 and (word[:2] != b"-b" or b"=" in word):
                plain = word[:2] + self._hole(_OF_PROGRAM.get(word[:2], "password"))
            elif word[:2] in users and len(word) > 2:
                plain = word[:2] + self._after_colon(plain[2:])
            else:
                plain = self._word(plain)
            redacted.append(plain)
            pending, last = _option_name(word), pending
            more = last if is_plural(last) else "" if word.startswith(b"-") else more
            if program == b"aws" and redacted[-3:-1] == [b"configure", b"set"] and may_be_secret(_latin(word)):
                pending = _latin(word)
        return redacted

    def value(self, name: str, value: Any) -> Any:
        """The value of a variable or a key of configuration; anything but text and numbers is returned as it is."""
        if isinstance(value, str | bytes):
            data = _encode(value) if isinstance(value, str) else value
            known = self._known(data)
            plain = self._hole(name) if is_secret(name, _latin(known)) else self._found(known)
            return value if plain == data else _decode(plain) if isinstance(value, str) else plain
        if isinstance(value, int | float) and not isinstance(value, bool) and is_secret(name, str(value)):
            return self._hole(name).decode("ascii")
        return value

    def text(self, text: Text) -> Text:
        """Any text: assignments, headers, known formats, URLs and the environment's own secrets."""
        if isinstance(text, str):
            data = _encode(text)
            plain = self._found(self._known(data))
            return text if plain == data else _decode(plain)
        return self._found(self._known(text))

    def tree(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """Nested dicts and lists with every leaf judged by the names that lead to it, joined with dots."""
        if depth > MAX_DEPTH:
            return "<nested too deeply>"
        if isinstance(value, dict):
            return {
                self.text(key) if isinstance(key, str) else key: self.tree(
                    item, f"{name}.{key}" if name else str(key), depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.tree(item, name, depth + 1) for item in value]
        return self.value(name, value)

    def _word(self, word: bytes) -> bytes:
        """One word that may be `--name=value` or `NAME=value`; the value is the whole rest."""
        if b"=" in word and (_has_keyword(word) or word.startswith((b"-pw=", b"--pw="))):
            match = re.fullmatch(_OPTION, word)
            if match:
                name = _defined(match[1] + match[2])
                judge = is_secret_option if match[1] else is_secret
                if judge(name, _latin(match[3])):
                    return match[1] + match[2] + b"=" + self._hole(name)
        if word.startswith(b"-H") and b":" in word:
            return b"-H" + self._found(word[2:])  # curl's header in the same word
        return self._found(word)

    def _after_colon(self, word: bytes) -> bytes:
        """curl's `user:password`; a pair of numbers is a user and a group."""
        user, colon, password = word.partition(b":")
        if not colon or not has_content(_latin(password)) or (user.isdigit() and password.isdigit()):
            return word
        return user + colon + self._hole("user")

    def _known(self, data: bytes) -> bytes:
        """`data` without the values of the environment's secret variables."""
        for value, name in self._variables:
            if value in data:
                data = data.replace(value, self._hole(name))
        return data

    def _known_in(self, data: bytes) -> bool:
        return any(value in data for value, _ in self._variables)

    def _found(self, data: bytes) -> bytes:
        """`data` without what names and shapes give away."""
        data = redact_formats(data, self.names)
        if len(data) < _SHORT_BYTES and not _has_keyword(data) and b"pw" not in data:
            return data  # what follows looks for names, and here is none
        if b"=" in data or b":" in data:
            data = self._assignments(data)
        return self._options(data) if b"-" in data else data

    def _options(self, data: bytes) -> bytes:
        """`--name value` inside a longer text."""
        kept: list[bytes] = []
        at = 0
        for match in re.compile(_INNER_OPTION).finditer(data):
            name = _latin(match[1])
            if match.start() < at or not may_be_secret(name, True):
                continue
            value = re.compile(_INNER_VALUE).match(data, match.end())
            if value is None or not value.lastindex:
                continue
            said = _latin(value[value.lastindex])
            prose = value.lastindex == 4 and said.rstrip(".,:").lower() in _PROSE
            metavar = said.isupper() and name.lower().replace("-", "_").endswith(said.lower())
            if prose or metavar or not is_secret_option(name, said):
                continue
            start, end = value.span(value.lastindex)
            kept += [data[at:start], self._hole(name)]
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
            before = left[len(left.rstrip(_NAME_CHARS)) :]
            name = _defined(before + data[start : match.start(1)])
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
                kept += [data[at:start], self._hole(name)]
                at = end
        return b"".join(kept) + data[at:] if kept else data

    def _hole(self, name: str) -> bytes:
        data = _encode(name)
        if self._known_in(data) or redact_formats(data, set()) != data:
            name = "name"  # a secret stands in the very name
        hole = placeholder(name)
        self.names.add(hole[8:-1].decode("ascii"))
        return hole


def secret_variables(environ: Mapping[str, str]) -> list[tuple[bytes, str]]:
    """(value, name) of every variable whose name promises a secret, longest value first.

    Values under eight characters, all digits or common words would hit too much that is no secret.
    """
    found = []
    for name, value in environ.items():
        if len(value) < MIN_VARIABLE_CHARS or not _has_keyword(name.encode("utf-8", "replace")):
            continue
        if is_secret(name, value) and not value.isdigit() and value.lower() not in _COMMON:
            found.append((os.fsencode(value), name))
    return sorted(found, key=lambda pair: (-len(pair[0]), pair[1]))


def _assigned_keywords(data: bytes) -> list[tuple[int, re.Match[bytes]]]:
    """Where keywords begin that an assignment follows, in their order."""
    lowered = data.lower()
    found = [
        (match.start() - _LETTERS_BEFORE.get(match[0], 0), match)
        for keyword in _ASSIGNED
        for match in re.finditer(keyword + _IS_ASSIGNED, lowered)
    ]
    return sorted(found, key=lambda pair: pair[0])


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
        if spaced or vague or b"(" in bare or b"[" in bare or _latin(bare) == name.rpartition(".")[2]:
            return None
    if not is_secret(name, _latin(value[group])):
        return None
    # only the start of an unquoted value was looked at, for the same reason
    rest = re.compile(_LINE_REST if header else _BARE_REST).match(data, value.end(group))
    end = rest.end() if rest and group in ("bare", "line") else value.end(group)
    return value.start(group), end


def _query(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the value of a query parameter lies; behind `?` and `&` it is no source code."""
    value = re.compile(_QUERY).match(data, at)
    if value is None or not has_content(_latin(value["query"])):
        return None
    rest = re.compile(_QUERY_REST).match(data, value.end())
    return value.start(), rest.end() if rest else value.end()


def _program(argv: Sequence[bytes]) -> bytes:
    """The name of the program behind `sudo`, `env` and the like; with `login` where that makes the difference."""
    for n, word in enumerate(argv):
        name = os.path.basename(word)
        if name in _WRAPPERS or (n and (word.startswith(b"-") or b"=" in word or word.isdigit())):
            continue
        return name + b" login" if b"login" in argv[n + 1 : n + 4] else name
    return b""


def _defined(word: bytes) -> str:
    """The name in an assignment; `-DPassword=x` and `-Ppassword=x` define it."""
    if word[:2] in (b"-D", b"-P"):
        word = word[2:]
    return _latin(word).lstrip("-.")


def _next_digit(data: bytes, at: int) -> int:
    found = re.compile(_DIGIT).search(data, at)
    return found.start() if found else len(data) + 256


def _has_keyword(data: bytes) -> bool:
    lowered = data.lower()
    return any(keyword in lowered for keyword in _KEYWORDS)


def _option_name(word: bytes) -> str:
    """The name of an option that takes its value from the next word, when that value would be a secret."""
    if not word.startswith(b"-") or not (_has_keyword(word[:256]) or word in (b"-pw", b"--pw")):
        return ""
    match = re.fullmatch(rb"--?([A-Za-z][A-Za-z0-9_.-]{0,63})", word)
    return _latin(match[1]) if match and may_be_secret(_latin(match[1]), True) else ""


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte, as JSON may hold
        return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
