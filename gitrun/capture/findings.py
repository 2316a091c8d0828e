"""What a snapshot has to say beside its tree: the lists of `source`, and the files that lie beside it.

One Findings serves a whole snapshot. Each worktree in it (the top one, then submodules and embedded
repositories) writes through a View that knows where it lies, so that every path in a list is
relative to the top, while `extra` names the root and the path in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitrun.model.canonical import path_text

# What the delta says of one file, as it was read.
_OF_CONTENT = ("assume-unchanged", "skip-worktree", "unconverted", "mode", "file for link")


class Findings:
    """The lists of one snapshot; `sorted_facts` gives them in the order of their paths' bytes."""

    def __init__(self) -> None:
        self.excluded: list[tuple[bytes, dict[str, Any]]] = []
        self.delta: dict[tuple[bytes, str], dict[str, Any]] = {}
        self.extra: dict[bytes, dict[str, Any]] = {}
        self.changed: set[bytes] = set()
        self.empty: list[bytes] = []

    def sorted_facts(self) -> dict[str, Any]:
        """The lists that `source` holds under these names."""
        return {
            "excluded": _in_order(self.excluded),
            "delta": [entry for _, entry in sorted(self.delta.items(), key=lambda pair: pair[0])],
            "changed_during_run": texts(self.changed),
            "empty_directories": texts(self.empty),
        }

    def sorted_extra(self) -> list[dict[str, Any]]:
        """The lines of `extra.jsonl`."""
        return _in_order(self.extra.items())


class View:
    """Findings as one worktree sees them: `prefix` is where it lies (b"" or b"sub/"), `root` its number."""

    def __init__(self, findings: Findings, prefix: bytes = b"", root: int | None = None) -> None:
        self._all = findings
        self.prefix = prefix
        self.root = root

    def exclude(self, path: bytes, reason: str, size: int, files: int | None = None, **more: Any) -> None:
        """Say that a path (a directory with a slash) is not in the source, and why."""
        entry = {"path": path_text(self.prefix + path), "bytes": size, "reason": reason, **more}
        if files is not None:
            entry["files"] = files
        self._all.excluded.append((self.prefix + path, entry))

    def differ(self, path: bytes, kind: str, **more: Any) -> None:
        """Say where the tree is not what `git add -A` would store, or not what the disk has."""
        entry = {"path": path_text(self.prefix + path), "kind": kind, **more}
        self._all.delta[self.prefix + path, kind] = entry

    def beside(self, path: bytes, mode: int, reason: str, content: Any) -> None:
        """Say that the bytes of a path are in the store; `content` is what the store answered."""
        entry = {
            "path": path_text(path),
            "mode": f"{mode:o}",
            "bytes": content.bytes,
            "sha256": content.sha256,
            "reason": reason,
            "chunks": [[blob, length] for blob, length in content.chunks],
        }
        if self.root is not None:
            entry["root"] = self.root
        self._all.extra[self.prefix + path] = entry

    def changed(self, path: bytes) -> None:
        """Say that a file was being written while it was read."""
        self._all.changed.add(self.prefix + path)

    def forget(self, path: bytes) -> None:
        """Take back what was said of a file's content, which is about to be read again."""
        self._all.extra.pop(self.prefix + path, None)
        for kind in _OF_CONTENT:
            self._all.delta.pop((self.prefix + path, kind), None)

    def empty(self, directory: bytes) -> None:
        """Say that a directory (with a slash) is there and holds nothing of the source."""
        self._all.empty.append(self.prefix + directory[:-1])


def texts(paths: Any) -> list[str]:
    """Paths as records list them: sorted by their bytes."""
    return [path_text(path) for path in sorted(paths)]


def _in_order(entries: Iterable[tuple[bytes, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]
