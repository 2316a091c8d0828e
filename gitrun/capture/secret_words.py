"""A command line without its secrets: `--password x` becomes `--password <secret:password>`.

Here a secret may also be the word behind an option, or what a single program is known to take as one. A command line
may have ten thousand words, and the user waits for each of them. So all of them are first looked through as one text
for the few signs that every secret has; only a word with one of them, or behind a word with one, is taken apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from gitrun.capture.secret_formats import SIGNS
from gitrun.capture.secret_names import (
    KEYWORDS,
    has_content,
    has_keyword,
    is_plural,
    is_secret,
    is_secret_option,
    looks_like_token,
    may_be_secret,
)
from gitrun.capture.secret_text import NAME_CHARS, SecretText, defined, latin

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
    b"aws": ((), (), ()),  # see below
    **dict.fromkeys((b"docker login", b"podman login", b"helm login", b"skopeo login", b"oras login"), _LOGIN),
}
_OF_PROGRAM = {b"-b": "cookie"}
_WRAPPERS = {b"sudo", b"env", b"time", b"nohup", b"nice", b"timeout", b"exec", b"command", b"srun"}

_NAME, _SHAPE = 1, 2  # what the signs in a word may be of


def redact_words(argv: Sequence[bytes], text: SecretText) -> list[bytes]:
    """The words with the values of options with secret names, in one word or two, and what `text` finds replaced."""
    program = _program(argv)
    if program in _PROGRAMS:
        signs = bytearray([_NAME | _SHAPE]) * len(argv)
    else:
        signs = _signs(argv, [needle[1] for needle in text.secrets.needles])
    if not any(signs):
        return list(argv)
    alone, joined, users = _PROGRAMS.get(program, ((), (), ()))
    redacted: list[bytes] = []
    pending = ""  # the secret name of an option whose value is the next word
    more = ""  # as pending, but further words count only where they look like tokens
    for word, sign in zip(argv, signs, strict=True):
        if not (sign or pending or more):
            redacted.append(word)
            continue
        before = redacted[-1] if redacted else b""
        plain = text.known(word) if sign & _SHAPE else word
        if before == b"-c":
            plain = _found(text, plain, sign)  # source code, not one assignment
        elif pending and not re.match(rb"--|-[A-Za-z]\Z", word) and is_secret_option(pending, latin(plain)):
            plain = text.hide(plain, pending)
        elif more and looks_like_token(latin(plain)):
            plain = text.hide(plain, more)
        elif before in users:
            plain = _after_colon(text, plain)
        elif before in alone and has_content(latin(plain)) and (before != b"-b" or b"=" in plain):
            plain = text.hide(plain, _OF_PROGRAM.get(before, "password"))
        elif word[:2] in joined and len(word) > 2 and (word[:2] != b"-b" or b"=" in word):
            plain = word[:2] + text.hide(word[2:], _OF_PROGRAM.get(word[:2], "password"))
        elif word[:2] in users and len(word) > 2:
            plain = word[:2] + _after_colon(text, plain[2:])
        else:
            plain = _word(text, plain, sign)
        redacted.append(plain)
        pending, last = _option_name(word) if sign & _NAME else "", pending
        more = last if is_plural(last) else "" if word.startswith(b"-") else more
        if program == b"aws" and redacted[-3:-1] == [b"configure", b"set"] and may_be_secret(latin(word)):
            pending = latin(word)
    return redacted


def _signs(argv: Sequence[bytes], known: Iterable[bytes]) -> bytearray:
    """For each word whether it may hold what a name gives away, and whether what its own shape or value does."""
    signs = bytearray(len(argv))
    joined = b"\0".join(argv)
    ends = list(accumulate(len(word) + 1 for word in argv))

    def mark(text: bytes, sign: bytes, kind: int) -> None:
        n, at = 0, text.find(sign)
        while at >= 0:
            while ends[n] <= at:
                n += 1
            signs[n] |= kind
            at = text.find(sign, ends[n])

    for literal in (*SIGNS, *known):
        mark(joined, literal, _SHAPE)
    lowered = joined.lower()
    for keyword in (*KEYWORDS, b"pw"):
        mark(lowered, keyword, _NAME)
    for n, sign in enumerate(signs):
        if sign == _NAME and not _may_give_away(argv[n]):
            signs[n] = 0
    return signs


def _may_give_away(word: bytes) -> bool:
    """Whether there may be a name of a secret in `word` that has a value, in the same word or the next one."""
    if b":" in word or (b"-" in word and re.search(rb"[ \t\"']", word)):
        return True
    name, equals, value = word.partition(b"=")
    if not equals and not name.startswith(b"-"):
        return False
    is_simple = len(name) <= 64 and not name.strip(NAME_CHARS) and b"=" not in value
    return not is_simple or may_be_secret(defined(name), True)


def _word(text: SecretText, word: bytes, sign: int) -> bytes:
    """One word that may be `--name=value` or `NAME=value`; the value is the whole rest."""
    if b"=" in word and sign & _NAME and (has_keyword(word) or word.startswith((b"-pw=", b"--pw="))):
        match = re.fullmatch(_OPTION, word)
        if match:
            name = defined(match[1] + match[2])
            judge = is_secret_option if match[1] else is_secret
            if judge(name, latin(match[3])):
                return match[1] + match[2] + b"=" + text.hide(match[3], name)
    if word.startswith(b"-H") and b":" in word:
        return b"-H" + _found(text, word[2:], sign)  # curl's header in the same word
    return _found(text, word, sign)


def _found(text: SecretText, word: bytes, sign: int) -> bytes:
    if sign & _SHAPE:
        return text.found(word)
    return text.behind_names(word) if sign & _NAME else word


def _after_colon(text: SecretText, word: bytes) -> bytes:
    """curl's `user:password`; a pair of numbers is a user and a group."""
    user, colon, password = word.partition(b":")
    if not colon or not has_content(latin(password)) or (user.isdigit() and password.isdigit()):
        return word
    return user + colon + text.hide(password, "user")


def _program(argv: Sequence[bytes]) -> bytes:
    """The name of the program behind `sudo`, `env` and the like; with `login` where that makes the difference."""
    for n, word in enumerate(argv):
        name = os.path.basename(word)
        if name in _WRAPPERS or (n and (word.startswith(b"-") or b"=" in word or word.isdigit())):
            continue
        return name + b" login" if b"login" in argv[n + 1 : n + 4] else name
    return b""


def _option_name(word: bytes) -> str:
    """The name of an option that takes its value from the next word, when that value would be a secret."""
    if not word.startswith(b"-") or not (has_keyword(word[:256]) or word in (b"-pw", b"--pw")):
        return ""
    match = re.fullmatch(rb"--?([A-Za-z][A-Za-z0-9_.-]{0,63})", word)
    return latin(match[1]) if match and may_be_secret(latin(match[1]), True) else ""
