"""The lockfile of a run, wherever it is: in the record, or in what was said of the run since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from gitrun.archive.annotations import LOCK
from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.errors import DamagedRecord

PYLOCK = "pylock.toml"


def lockfile(archive: Archive, run: Run) -> bytes | None:
    """The run's `pylock.toml`, None where it has none; raises DamagedRecord or DamagedStore."""
    body = _latest(run)
    if body is None:
        return run.part(PYLOCK)
    return _content(archive, body.get("pylock"))


def _latest(run: Run) -> dict[str, Any] | None:
    locks = [event.body for event in run.events() if event.kind == LOCK]
    return locks[-1] if locks else None


def _content(archive: Archive, place: Any) -> bytes | None:
    if place is None:
        return None
    try:
        chunks: Iterable[Any] = place["chunks"]
        data = b"".join(archive.store.read([(str(blob), int(size)) for blob, size in chunks]))
        digest = place["sha256"]
    except (KeyError, TypeError, ValueError) as problem:
        raise DamagedRecord("what an annotation says of a lockfile cannot be read") from problem
    if hashlib.sha256(data).hexdigest() != digest:
        raise DamagedRecord("a lockfile is not what its annotation says")
    return data
