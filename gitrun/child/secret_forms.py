"""The forms in which a secret is printed by who does not mean to print it: JSON, repr, a URL, base64.

Whoever reads one of these has the secret, so each of them is looked for as the secret itself is. Most tokens are
letters and digits and look the same in all but base64. There three bytes become four characters, so the same bytes
look one of three ways, depending on how many stand before them: the secret in `user:secret` begins anywhere. The
characters at both ends of it may hold bits of what stands beside it as well; those are not looked for, but go with it.

The recorder and the child look for the same, so this is Python 3.8 and imports nothing that the child would show.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Iterable, Iterator, Mapping, Tuple

Needle = Tuple[bytes, bytes, str, bool, bool]
"""What all forms of a text have in common, what to look for, its name, and whether a character of base64 before it
and one behind it belong to it."""

_SAME = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~"  # in every form but base64
_RUNS = bytes(byte if byte in _SAME else 32 for byte in range(256))
_BASE64 = frozenset(_SAME[:63] + b"+/")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_UNQUOTED = (b"", b"/", b"!'()*")  # in a URL: by the standard, by Python's default, by JavaScript
_ESCAPES = {code: f"\\u{code:04x}" for code in range(32)}
_ESCAPES.update(zip(map(ord, '"\\\n\r\t\b\f'), ('\\"', "\\\\", "\\n", "\\r", "\\t", "\\b", "\\f")))
_FOR_HTML = {ord(char): f"\\u{ord(char):04x}" for char in "&<>"}  # as Go and others write JSON
_LINES = (57, 48)  # bytes in a line of base64: of `base64` and of mail, of openssl
_MOST_VALUES = 200  # of which forms are looked for; of more only the values themselves
MIN_CHARS = 8
# Values too common to be looked for wherever they occur, though they stand under a secret's name.
_COMMON = ("password", "passw0rd", "postgres", "changeme", "anonymous", "localhost", "username", "training")


def can_be_looked_for(value: str) -> bool:
    """Whether a secret is long and rare enough that each of its occurrences is it; digits are not."""
    return len(value) >= MIN_CHARS and value.lower() not in _COMMON and not value.isdigit()


def all_needles(secrets: Iterable[tuple[bytes, str]], environs: Iterable[Mapping[str, str]]) -> list[Needle]:
    """The needles of secrets, each a value and its name, and of the credentials in the environments' URLs."""
    found: dict[Needle, None] = {}
    for count, (value, name) in enumerate(secrets):
        found.update(
            dict.fromkeys(needles(value, name) if count < _MOST_VALUES else [(value, value, name, False, False)])
        )
    for environ in environs:
        for text in list(environ.values()):
            if "://" in text and "@" in text:
                found.update(dict.fromkeys(_of_urls(text)))
    return by_length(found)


def by_length(found: Iterable[Needle]) -> list[Needle]:
    """The longest first, so that a secret that is part of another does not hide the rest of it."""
    return sorted(found, key=lambda needle: (-len(needle[1]), needle[2]))


def needles(value: bytes, name: str) -> list[Needle]:
    """What to look for where `value` must not be seen: itself, and each form in which it looks otherwise.

    About thirty at most, of letters and digits three or four. `name` is made the form's: `TOKEN.base64`.
    """
    core = max(value.translate(_RUNS).split(), key=len, default=b"")
    found: dict[bytes, Needle] = {value: (core, value, name, False, False)}
    in_json = value
    if core != value:
        text = value.decode("utf-8", "surrogateescape")
        for form, written in _texts(value, text):
            found.setdefault(written, (core, written, name + "." + form, False, False))
        in_json = _bytes(text.translate(_ESCAPES))
    for content in (value, in_json):
        for written, before, behind in _in_base64(content):
            found.setdefault(written, (written, written, name + ".base64", before, behind))
    return list(found.values())


def without(data: bytes, needle: Needle, instead: bytes) -> bytes:
    """`data` with `instead` wherever the needle is."""
    _, written, _, before, behind = needle
    if not (before or behind):
        return data.replace(written, instead)
    kept: list[bytes] = []
    at = 0
    while True:
        start = data.find(written, at)
        if start < 0:
            return b"".join(kept) + data[at:] if kept else data
        end = start + len(written)
        if before and start > at and data[start - 1] in _BASE64:
            start -= 1
        if behind and end < len(data) and data[end] in _BASE64:
            end += 1
        kept += [data[at:start], instead]
        at = end


def _of_urls(value: str) -> Iterator[Needle]:
    """Of each URL the password, and `user:password` as a Basic login sends it."""
    for word in value.split()[:_MOST_VALUES]:
        login, at, _ = word.partition("://")[2].partition("/")[0].rpartition("@")
        user, colon, password = login.partition(":")
        if not (at and colon and password) or password[0] in "$<*":
            continue
        for said in {(user, password), (_unquoted(user), _unquoted(password))}:
            secret, pair = (text.encode("utf-8", "surrogateescape") for text in (said[1], ":".join(said)))
            if can_be_looked_for(said[1]):
                yield from needles(secret, "url")
            if len(pair) >= MIN_CHARS:
                yield from [needle for needle in needles(pair, "url") if needle[2] == "url.base64"]


def _unquoted(text: str) -> str:
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    try:
        return (first + b"".join(bytes((int(part[:2], 16),)) + part[2:] for part in rest)).decode(
            "utf-8", "surrogateescape"
        )
    except ValueError:
        return text


def _texts(value: bytes, text: str) -> Iterator[tuple[str, bytes]]:
    """The forms of a text, each with its kind."""
    in_json = text.translate(_ESCAPES)
    for written in (in_json, _in_ascii(in_json)):
        for variant in (written, written.replace("/", "\\/"), written.translate(_FOR_HTML)):
            yield "json", _bytes(variant)
    yield "json", _bytes(in_json.translate(_ESCAPES))  # JSON in JSON
    for quoted in (text, in_json):
        yield "repr", _bytes(repr(quoted)[1:-1])
        yield "repr", _bytes(repr(quoted + "\"'")[1:-4])  # as part of a text that has both quotes
    yield "repr", repr(value)[2:-1].encode("ascii")
    yield "repr", repr(value + b"\"'")[2:-4].encode("ascii")
    for unquoted in _UNQUOTED:
        for digits in ("%%%02X", "%%%02x"):
            written = "".join(chr(byte) if byte in _SAME + unquoted else digits % byte for byte in value)
            yield "url", written.encode("ascii")
            yield "url", written.replace("%20", "+").encode("ascii")


def _in_base64(data: bytes) -> Iterator[tuple[bytes, bool, bool]]:
    """What is certain of `data` in base64, whatever stands around it, and whether the ends hold more of it."""
    for shift in range(3):
        encoded = b2a_base64(bytes(shift) + data, newline=False).rstrip(b"=")
        partial = (shift + len(data)) % 3 > 0  # its last character has room for bits of what follows
        certain = encoded[shift + 1 if shift else 0 : len(encoded) - partial]
        for written in (certain, certain.translate(_URL_SAFE)):
            yield written, shift > 0, partial
        if shift == 0:
            for width in _LINES:
                ends = range(width // 3 * 4, len(certain), width // 3 * 4)
                lines = [certain[start:end] for start, end in zip([0, *ends], [*ends, len(certain)])]
                yield b"\n".join(lines), False, partial


def _in_ascii(text: str) -> str:
    return "".join(char if char < "\x80" else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
