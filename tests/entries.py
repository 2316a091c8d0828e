"""Runs with stored files, sealed by hand: entries as a recorder writes them, their content in the store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from gitrun.archive.seal import Part
from gitrun.model.artifacts import PART
from gitrun.model.canonical import encode_line, path_bytes, path_text
from gitrun.store.blobs import BlobStore
from gitrun.store.chunk_lists import place
from tests.hand import Hand

RUNS = [f"2026112{n}-061246-abc12{n}" for n in range(8)]


def line(path: str | bytes, **more: Any) -> dict[str, Any]:
    """An entry that is not stored, with every key."""
    text = path_text(path) if isinstance(path, bytes) else path
    return {
        "path": text, "kind": "output", "type": "file", "mode": "0644", "bytes": None, "sha256": None, "level": None,
        "evidence": "scan", "stored": False, "reason": "limit", "produced_by": None, **more,
    }  # fmt: skip


def stored(session: Any, path: str | bytes, data: bytes, **more: Any) -> dict[str, Any]:
    """An entry whose content goes into the store."""
    content = session.put_bytes(data)
    found = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "stored": True, "reason": None}
    return line(path, **found, **place(content.chunks, session.put), **more)


def link(path: str, target: str) -> dict[str, Any]:
    """An entry for a symbolic link."""
    digest = hashlib.sha256(os.fsencode(target)).hexdigest()
    return line(path, type="link", target=target, bytes=len(target), sha256=digest, stored=True, reason=None)


def seal(
    hand: Hand, run_id: str, files: Mapping[str | bytes, bytes], more: list[dict[str, Any]] | None = None, **record: Any
) -> None:
    """Seal a run that wrote these files, and has more entries."""
    with BlobStore(hand.gitrun_dir).session() as session:
        lines = [*(stored(session, path, data) for path, data in files.items()), *(more or ())]
        session.commit()
        seal_lines(hand, run_id, lines, **record)


def seal_lines(hand: Hand, run_id: str, lines: list[dict[str, Any]], **record: Any) -> None:
    """Seal a run with exactly these entries."""
    lines = sorted(lines, key=lambda each: path_bytes(each["path"]))
    hand.seal(run_id, {PART: Part(b"".join(map(encode_line, lines)))}, **record)
