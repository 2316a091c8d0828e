"""A Git index written by hand: the few fields that make `git status` quick and right.

The index of a checkout has to say three things that no tool writes for us: a file whose bytes are
the recorded ones is clean although a filter would make them otherwise (its stat is in the index,
so Git never looks), a file that was edited is to be looked at (its stat is zero), and a file that
was deleted, or never checked out by a sparse checkout, is still tracked. Version 2, or 3 where a
flag needs it; Git's Documentation/gitformat-index is the reference.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from gitrun.git.hashing import new_hash

_HEADER = struct.Struct(">4sLL")
_STAT = struct.Struct(">10L")
_U32 = 0xFFFFFFFF
_EXTENDED, _ASSUME_VALID = 0x4000, 0x8000
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x4000, 0x2000


class IndexEntry(NamedTuple):
    """One tracked path; without a `stat` Git compares the content. Sizes and times are cut to 32 bits as Git does."""

    path: bytes
    mode: int
    oid: str
    stat: os.stat_result | None = None
    skip_worktree: bool = False
    assume_valid: bool = False
    intent_to_add: bool = False


def encode_index(entries: Iterable[IndexEntry], fmt: str) -> bytes:
    """The bytes of an index file that holds `entries`, for the object format `fmt`."""
    ordered = sorted(entries)
    version = 3 if any(entry.skip_worktree or entry.intent_to_add for entry in ordered) else 2
    pieces = [_HEADER.pack(b"DIRC", version, len(ordered))]
    for path, mode, oid, stat, skip_worktree, assume_valid, intent_to_add in ordered:
        more = (_SKIP_WORKTREE if skip_worktree else 0) | (_INTENT_TO_ADD if intent_to_add else 0)
        flags = min(len(path), 0xFFF) | (_ASSUME_VALID if assume_valid else 0) | (_EXTENDED if more else 0)
        entry = b"".join(
            (
                _stat_fields(mode, stat),
                bytes.fromhex(oid),
                flags.to_bytes(2, "big"),
                more.to_bytes(2, "big") if more else b"",
                path,
            )
        )
        pieces += (entry, bytes(8 - len(entry) % 8))  # one to eight NULs, to a multiple of eight
    body = b"".join(pieces)
    checksum = new_hash(fmt)
    checksum.update(body)
    return body + checksum.digest()


def _stat_fields(mode: int, stat: os.stat_result | None) -> bytes:
    if stat is None:
        return _STAT.pack(0, 0, 0, 0, 0, 0, mode, 0, 0, 0)
    changed_s, changed_ns = divmod(stat.st_ctime_ns, 1_000_000_000)
    modified_s, modified_ns = divmod(stat.st_mtime_ns, 1_000_000_000)
    return _STAT.pack(
        changed_s & _U32,
        changed_ns,
        modified_s & _U32,
        modified_ns,
        stat.st_dev & _U32,
        stat.st_ino & _U32,
        mode,
        stat.st_uid & _U32,
        stat.st_gid & _U32,
        stat.st_size & _U32,
    )
