"""The user's multi-pack-index, when a pack that it lists goes.

It maps objects to packs by name, and `git fsck` calls a name without a pack an error. It is derived
data, and Git's own repack answers the same case by removing it; the next maintenance writes a new one.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable

from gitrun.files.write import remove_quietly

_NAME = "multi-pack-index"


def forget(directory: str, names: Iterable[str]) -> None:
    """Remove the multi-pack-index of the pack directory when it lists one of the packs `names`."""
    path = os.path.join(directory, _NAME)
    listed = _listed_packs(path)
    if listed is not None and not listed.isdisjoint(os.fsencode(name) + b".idx" for name in names):
        os.unlink(path)
        for name in os.listdir(directory):
            if name.startswith(_NAME + "-"):  # its bitmap and reverse index
                remove_quietly(os.path.join(directory, name))


def _listed_packs(path: str) -> set[bytes] | None:
    """The index names in the file's PNAM chunk (gitformat-pack(5)); None without a file; one damaged lists none."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"MIDX":
                return set()
            for at in range(12, 12 + 12 * data[6], 12):
                chunk, start, end = data[at : at + 4], *_offsets(data, at)
                if chunk == b"PNAM":
                    return set(data[start:end].split(b"\0"))
    except FileNotFoundError:
        return None
    except (ValueError, struct.error):
        pass  # empty or cut off: Git does not use it either
    return set()


def _offsets(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Where the chunk whose table entry is at `at` begins and ends: its own offset, and the next entry's."""
    start: int = struct.unpack_from(">Q", data, at + 4)[0]
    end: int = struct.unpack_from(">Q", data, at + 16)[0]
    return start, end
