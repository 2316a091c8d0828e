"""tar: members by name; when, by whom and in which order they were put in says nothing.

Read are the headers that today's tools write (ustar, GNU's long names, pax). Sparse files, devices and whatever
else a header can hold are compared as bytes, and so is an archive in which a name comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gitrun.replay.compare.context import Context, NotThis, worst
from gitrun.replay.compare.window import Window
from gitrun.replay.compare.zips import show
from gitrun.replay.levels import Finding, Level, weakest

_BLOCK = 512
_FILE, _DIRECTORY, _HARD_LINK, _LINK = b"0", b"5", b"1", b"2"
_KINDS = {b"0": _FILE, b"\0": _FILE, b"5": _DIRECTORY, b"1": _HARD_LINK, b"2": _LINK}
_WORDS_BYTES = 1 << 20
_MAX_MEMBERS = 1 << 18
_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]+)=")
# Of a pax header: said again in the header itself, or times and owners.
_NOTHING = {b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname"}
_READ = {b"path", b"linkpath", b"size"}


class _Member(NamedTuple):
    name: bytes
    fixed: tuple[object, ...]  # kind, mode, link, further words of the header
    loose: tuple[object, ...]  # time, owner
    is_link: bool
    data: Window


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return head[257:262] == b"ustar"


def compare_tar(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two archives have in common."""
    left, right = _read(a), _read(b)
    if left.keys() != right.keys():
        name = show(min(left.keys() ^ right.keys()))
        return Finding(Level.DIFFERS, f"{name} is in one of the archives only", name)
    in_order = list(left) == list(right)
    if not in_order and any(each.is_link for each in (*left.values(), *right.values())):
        raise NotThis("links, in another order")  # what is written through a link depends on when
    findings = [(show(name), _compare(each, right[name], context)) for name, each in left.items()]
    found = worst(findings, "members")
    if found is not None:
        return found._replace(level=weakest((Level.SEMANTIC, found.level)))
    what = "times or owners" if any(each.loose != right[name].loose for name, each in left.items()) else "padding"
    what = what if in_order else f"their order{'' if what == 'padding' else f' and {what}'}"
    return Finding(Level.SEMANTIC, f"the same members, only {what} differ", "the headers")


def _compare(a: _Member, b: _Member, context: Context) -> Finding:
    if a.fixed != b.fixed:
        return Finding(Level.DIFFERS, "its kind, its mode or where it links to differs")
    return context.inside(a.name, a.data, b.data)


def _read(window: Window) -> Mapping[bytes, _Member]:
    """The members; raises NotThis where a header is damaged or of another form."""
    members: dict[bytes, _Member] = {}
    at, words = 0, dict[bytes, bytes]()
    while True:
        header = window.read(at, _BLOCK)
        if not header.strip(b"\0"):
            break
        kind, size = _checked(header)
        at += _BLOCK
        if kind in (b"x", b"L", b"K"):
            if size > _WORDS_BYTES:
                raise NotThis("a long header")
            _more_words(words, kind, window.read(at, size))
        elif kind in _KINDS:
            member, size = _member(window, header, at, size, words)
            if member.name in members or len(members) >= _MAX_MEMBERS:
                raise NotThis("a name that is there twice")
            members[member.name], words = member, {}
        else:
            raise NotThis(f"a member of kind {kind!r}")
        if window.read(at + size, -size % _BLOCK).strip(b"\0"):
            raise NotThis("bytes behind a member")
        at += size + -size % _BLOCK
    if (
        words
        or window.size % _BLOCK
        or window.size - at < 2 * _BLOCK
        or any(piece.strip(b"\0") for piece in _rest(window, at))
    ):
        raise NotThis("no end of an archive")
    return members


def _rest(window: Window, at: int) -> list[bytes]:
    rest = window.part(at, window.size - at)
    return list(rest.pieces()) if rest.size <= _WORDS_BYTES else [b"something"]


def _checked(header: bytes) -> tuple[bytes, int]:
    """The kind and the size; raises NotThis where the checksum is wrong or what should be empty is not."""
    if header[257:263] not in (b"ustar\0", b"ustar ") or header[500:].strip(b"\0"):
        raise NotThis("a header of another form")
    if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156]):
        raise NotThis("a header is damaged")
    if header[257:263] == b"ustar " and header[345:].strip(b"\0"):
        raise NotThis("a header with more in it")  # GNU's places for sparse files and further times
    if _number(header[329:337]) or _number(header[337:345]):
        raise NotThis("a device")
    return header[156:157], _number(header[124:136])


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise NotThis("no number")
    return int(digits or b"0", 8)


def _more_words(words: dict[bytes, bytes], kind: bytes, data: bytes) -> None:
    """What a header in front of a header says of the member that follows."""
    if kind in (b"L", b"K"):
        key = b"path" if kind == b"L" else b"linkpath"
        found = {key: data.removesuffix(b"\0")}
    else:
        found, at = {}, 0
        while at < len(data):
            match = _RECORD.match(data, at)
            end = at + int(match[1]) if match else 0
            if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
                raise NotThis("a pax header of another form")
            if match[2] in found:
                raise NotThis("a word that is there twice")
            found[match[2]], at = data[match.end() : end - 1], end
    if found.keys() & words.keys() or any(b"\0" in value for value in found.values()):
        raise NotThis("a word that is there twice")
    words.update(found)


def _member(window: Window, header: bytes, at: int, size: int, words: dict[bytes, bytes]) -> tuple[_Member, int]:
    kind = _KINDS[header[156:157]]
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""
    name = words.get(b"path") or (prefix + b"/" if prefix else b"") + _text(header[:100])
    link = words.get(b"linkpath", _text(header[157:257]))
    if b"size" in words:
        size = int(words[b"size"])
    if (kind != _FILE and size) or (kind == _FILE and (link or name.endswith(b"/"))):
        raise NotThis("a member of another form")
    further = tuple(sorted((key, value) for key, value in words.items() if key not in _NOTHING | _READ))
    loose = (*(header[slice] for slice in _LOOSE), *(words.get(key) for key in sorted(_NOTHING)))
    fixed = (kind, _number(header[100:108]), link, further)
    return _Member(name, fixed, loose, kind in (_LINK, _HARD_LINK), window.part(at, size)), size


_LOOSE = (slice(108, 124), slice(136, 148), slice(265, 329))  # owner, time, the owner's names


def _text(field: bytes) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise NotThis("text behind the end of a text")
    return text
