"""Which blobs an entry needs: those its line names, and those that are named in blobs of their own.

A file in many pieces has a list of them as a blob, a directory its files. Whoever looks for everything that is needed
has to read these lists too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gitrun.errors import DamagedRecord
from gitrun.model.canonical import DecodeProblem, decode_lines
from gitrun.model.ids import is_sha256
from gitrun.store.chunk_lists import decode

Read = Callable[[str], bytes]


def blobs_of(line: Any, get: Read) -> Iterator[str]:
    """The ids of the blobs that one line needs; a list is named before it is read with `get`.

    Raises DamagedRecord for a list that is none, and what `get` raises.
    """
    if type(line) is not dict:
        return
    chunks = line.get("chunks")
    for chunk in chunks if type(chunks) is list else ():
        if type(chunk) is list and chunk and is_sha256(chunk[0]):
            yield chunk[0]
    listed: Any = line.get("chunk_list")
    if is_sha256(listed):
        yield listed
        yield from (blob for blob, _ in decode(get(listed)))
    manifest: Any = line.get("manifest")
    if is_sha256(manifest):
        yield manifest
        for below in manifest_lines(manifest, get):
            yield from blobs_of({**below, "manifest": None}, get)  # a list in a list could go on for ever


def manifest_lines(manifest: str, get: Read) -> list[dict[str, Any]]:
    """The lines of what lies in a directory; raises DamagedRecord, and what `get` raises."""
    try:
        lines = decode_lines(get(manifest))
    except DecodeProblem as problem:
        raise DamagedRecord(
            f"the list of a directory's files cannot be read: {problem}", next="gitrun fsck"
        ) from problem
    if not all(type(line) is dict for line in lines):
        raise DamagedRecord("the list of a directory's files is none", next="gitrun fsck")
    return lines
