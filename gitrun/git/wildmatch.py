"""Git's wildcards as regular expressions: what `*`, `?`, `[…]` and `**` mean in ignore and attribute files.

Translated from wildmatch.c. Within a path `*`, `?` and classes never match a slash; `**/`, `/**` and
`/**/` do. A pattern that wildmatch gives up on (an open class, a trailing backslash) matches nothing.
"""

from __future__ import annotations

import re

WILD = re.compile(rb"[*?[\\]")
_CLASSES = {
    b"alnum": b"a-zA-Z0-9", b"alpha": b"a-zA-Z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f", b"digit": b"0-9",
    b"graph": rb"\x21-\x7e", b"lower": b"a-z", b"print": rb"\x20-\x7e", b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t-\r", b"upper": b"A-Z", b"xdigit": b"0-9a-fA-F",
}  # fmt: skip


class _Hopeless(Exception):
    """The pattern can match nothing."""


def compile_pattern(pattern: bytes, *, is_path: bool, ignore_case: bool = False) -> re.Pattern[bytes] | None:
    """The expression for `fullmatch`, or None when nothing matches; `is_path` keeps wildcards off slashes.

    With `ignore_case` the subject must be given in lower case.
    """
    # Git compares the text before the first wildcard by itself, so `a/b**` has its stars at a beginning.
    wild = WILD.search(pattern)
    cut = wild.start() if wild else len(pattern)
    prefix = pattern[:cut].lower() if ignore_case else pattern[:cut]
    try:
        return re.compile(re.escape(prefix) + _translate(pattern[cut:], is_path, ignore_case), re.DOTALL)
    except (_Hopeless, re.error):
        return None


def _translate(pattern: bytes, is_path: bool, ignore_case: bool) -> bytes:
    any_one, any_run = (b"[^/]", b"[^/]*") if is_path else (b".", b".*")
    out = []
    at, size = 0, len(pattern)
    while at < size:
        byte = pattern[at : at + 1]
        if byte == b"*":
            end = at
            while pattern[end : end + 1] == b"*":
                end += 1
            piece, at = _stars(pattern, at, end, any_run) if is_path and end - at > 1 else (any_run, end)
            out.append(piece)
        elif byte == b"?":
            out.append(any_one)
            at += 1
        elif byte == b"[":
            piece, at = _class(pattern, at + 1, is_path, ignore_case)
            out.append(piece)
        elif byte == b"\\":
            if at + 1 == size:
                raise _Hopeless
            out.append(re.escape(pattern[at + 1 : at + 2]))  # Git folds no case here
            at += 2
        else:
            out.append(re.escape(byte.lower() if ignore_case else byte))
            at += 1
    return b"".join(out)


def _stars(pattern: bytes, start: int, end: int, any_run: bytes) -> tuple[bytes, int]:
    """Two or more stars in a path: they cross slashes only as a whole component."""
    alone_left = start == 0 or pattern[start - 1 : start] == b"/"
    follows = pattern[end : end + 1]
    if not alone_left or follows not in (b"", b"/"):
        if alone_left and pattern[end : end + 2] == b"\\/":
            return b".*", end
        return any_run, end
    if follows == b"/":
        return b"(?:.*/)?", end + 1  # also nothing at all: `a/**/b` is `a/b`
    return b".*", end


def _class(pattern: bytes, at: int, is_path: bool, ignore_case: bool) -> tuple[bytes, int]:
    """The class whose `[` ends at `at`: its expression, and where it ends."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    if negated:
        at += 1
    members: list[bytes] = []
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            raise _Hopeless
        if pattern[at : at + 2] == b"[:" and (end := _class_name_end(pattern, at + 2)):
            name = pattern[at + 2 : end - 1]
            if name not in _CLASSES:
                raise _Hopeless
            members.append(_CLASSES[b"alpha" if ignore_case and name == b"upper" else name])
            at = end + 1
            continue
        low, at = _member(pattern, at)
        if pattern[at : at + 1] == b"-" and pattern[at + 1 : at + 2] not in (b"]", b""):
            high, at = _member(pattern, at + 1)
            members.extend(_range(low, high, ignore_case))
        else:
            members.append(_escape(low))
    return _expression(members, negated, is_path), at + 1


def _class_name_end(pattern: bytes, at: int) -> int:
    """Where the `]` of a `[:name:]` stands whose name begins at `at`; 0 where it is no such thing."""
    end = pattern.find(b"]", at)
    if end < 0:
        raise _Hopeless
    return end if end > at and pattern[end - 1 : end] == b":" else 0


def _range(low: bytes, high: bytes, ignore_case: bool) -> list[bytes]:
    members = [_escape(low) + b"-" + _escape(high)] if low <= high else []
    if ignore_case:  # a range also holds the lower-case forms of its letters
        members += [_escape(b"%c" % (byte + 32)) for byte in range(65, 91) if low[0] <= byte <= high[0]]
    return members


def _expression(members: list[bytes], negated: bool, is_path: bool) -> bytes:
    """One expression for one byte; a slash is never matched in a path."""
    guard = b"(?!/)" if is_path else b""
    if not members:  # only ranges that are empty
        return guard + b"." if negated else b"(?!)"
    return guard + b"[" + (b"^" if negated else b"") + b"".join(members) + b"]"


def _member(pattern: bytes, at: int) -> tuple[bytes, int]:
    if pattern[at : at + 1] == b"\\":
        at += 1
    if at >= len(pattern):
        raise _Hopeless
    return pattern[at : at + 1], at + 1


def _escape(byte: bytes) -> bytes:
    return b"\\x%02x" % byte[0]
