"""Says which of the files that a run loaded from elsewhere hold a secret, once they are in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gitrun.capture.exposed import Source, find_exposed
from gitrun.capture.loaded import REASON
from gitrun.recording.rooting import read_lines
from gitrun.store.chunk_lists import chunks_of

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject
    from gitrun.store.blobs import BlobStore


def tell_exposed(subject: Subject) -> Any:
    """Adds them to `source.secrets`; returns what `coverage.secrets` says now, None where nothing was loaded."""
    lines = [line for line in read_lines(subject.live) if line.get("reason") == REASON]
    if not lines:
        return None
    draft = subject.draft
    found = find_exposed(_in_store(lines, subject.context.store), subject.context.environ)
    if found.files:
        draft["source"]["secrets"] = [*(draft["source"].get("secrets") or []), *found.files]
    before = draft["coverage"].get("secrets")
    known = before if isinstance(before, list) else []
    return [*known, f"{found.unseen} loaded file(s) were not looked through for secrets"] if found.unseen else before


def _in_store(lines: Iterable[dict[str, Any]], open_store: Callable[[], BlobStore]) -> Iterable[Source]:
    store = open_store()

    def reader(line: dict[str, Any]) -> Callable[[int], bytes | None]:
        def read(limit: int) -> bytes | None:
            return b"".join(store.read(chunks_of(line, store.get))) if line["bytes"] <= limit else None

        return read

    for line in lines:
        root = {} if line.get("root") is None else {"root": line["root"]}
        yield {"path": line["path"], **root}, reader(line)
