"""Git object ids: the hash of a header and the bytes, by the repository's object format.

sha1 here names content, it protects nothing: `usedforsecurity=False` keeps hardened Pythons working.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

RAW_BYTES: dict[str, int] = {"sha1": 20, "sha256": 32}
HEX_DIGITS: dict[str, int] = {"sha1": 40, "sha256": 64}
_HEX = b"0123456789abcdef"


def new_hash(fmt: str) -> _Hash:
    """An empty hash of the object format `fmt` ("sha1" or "sha256")."""
    return hashlib.new(fmt, usedforsecurity=False)


def hasher(kind: str, size: int, fmt: str) -> _Hash:
    """A hash that has seen the header of an object of `size` bytes; feed it the content in pieces."""
    started = new_hash(fmt)
    started.update(b"%s %d\0" % (kind.encode(), size))
    return started


def object_id(kind: str, data: bytes, fmt: str) -> str:
    """The id of an object with this content, as lower-case hex."""
    started = hasher(kind, len(data), fmt)
    started.update(data)
    return started.hexdigest()


def zero_id(fmt: str) -> str:
    """The id that means "no object" in Git's own protocols."""
    return "0" * HEX_DIGITS[fmt]


def is_object_id(text: str, fmt: str) -> bool:
    """Whether `text` has the shape of an object id of this format."""
    return len(text) == HEX_DIGITS[fmt] and is_hex_id(text)


def is_hex_id(text: str) -> bool:
    """Whether `text` has the shape of an object id of some format."""
    return len(text) in HEX_DIGITS.values() and is_hex(text)


def is_hex(text: str) -> bool:
    """Whether `text` is lower-case hex digits and nothing else."""
    return text.isascii() and not text.encode().translate(None, _HEX)
