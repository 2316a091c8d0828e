"""Loaded source: the files a run really loaded and that nothing else would give back.

A generated `_version.py` that Git ignores, a module from a directory on PYTHONPATH, an extension built in place:
no `git add -A` has them and no installer brings them. The child names what was loaded; what lies in nobody's keeping
goes to the store, as a line of `extra.jsonl` with the reason `loaded`. What the source holds is looked at as well: a
module that was edited between the snapshot and its import is not the one in the source, and the record says so.

The bytes are read when the run has ended. Size and time of modification, taken when the file was imported, tell
whether they are still those that ran.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.contents import Shelf, same_moment
from gitrun.capture.facts import unwaiting
from gitrun.capture.held import Held, HeldSource
from gitrun.capture.imports import Loaded, import_root
from gitrun.capture.secret_files import is_secret_file
from gitrun.capture.whereabouts import Where, Whereabouts
from gitrun.errors import HostilePath
from gitrun.files.names import check_path
from gitrun.model.canonical import path_text

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore

REASON = "loaded"
_MOST_COMPARED = 64 << 20  # bytes of one file; a module is never as large
_MOST_NAMED = 100


class Limits(NamedTuple):
    """How much is kept: files, and bytes in sum."""

    files: int
    bytes: int


class Findings(NamedTuple):
    """What came of it.

    `lines` are for `extra.jsonl`, `changed` the paths from the top of what was not as the source has it, `left_out`
    entries for `source.excluded`, `imported_from` the directories of roots (by number) that modules were found under.
    """

    lines: list[dict[str, Any]]
    changed: set[str]
    left_out: list[dict[str, Any]]
    imported_from: dict[int, list[str]]
    problems: list[str]


class _Item(NamedTuple):
    where: Where
    module: str | None
    seen: set[tuple[int, int]]  # (size, mtime_ns) at each import


class Finder:
    """Finds the loaded source of one run; `began_ns` is when its snapshot began, by the file system's clock."""

    def __init__(
        self,
        whereabouts: Whereabouts,
        source: HeldSource,
        root_paths: dict[int, bytes],
        worktree: bytes | None,
        object_format: str,
        began_ns: int,
    ) -> None:
        self._whereabouts = whereabouts
        self._source = source
        self._root_paths = root_paths
        self._top = worktree
        self._format = object_format
        self._began_ns = began_ns

    def find(self, files: Iterable[Loaded], store: Callable[[], BlobStore], limits: Limits) -> tuple[Findings, Shelf]:
        """What to record of these files, and the open shelf that the new blobs were put on: commit, then close it."""
        found = Findings([], set(), [], {}, [])
        missing: list[_Item] = []
        for item in self._items(files):
            self._note_import(item, found)
            held = self._source.find((item.where.root, item.where.path))
            if held is not None and held.reason != REASON:
                if self._is_changed(item, held):
                    found.changed.add(path_text(self._from_top(item.where)))
            else:
                missing.append(item)
        shelf = Shelf(store)
        try:
            self._keep(missing, shelf, limits, found)
        except BaseException:
            shelf.close()
            raise
        found.lines.sort(key=lambda line: (line.get("root") or 0, line["path"]))
        return found, shelf

    def _items(self, files: Iterable[Loaded]) -> Iterable[_Item]:
        """One item for each file that is the run's own."""
        items: dict[tuple[int | None, bytes], _Item] = {}
        judged: dict[tuple[bytes, bool], Where | None] = {}
        for file in files:
            key = file.path, file.is_library
            if key not in judged:
                judged[key] = self._judge(file)
            where = judged[key]
            if where is None:
                continue
            item = items.setdefault((where.root, where.path), _Item(where, file.module, set()))
            if file.size is not None and file.mtime_ns is not None:
                item.seen.add((file.size, file.mtime_ns))
        return items.values()

    def _judge(self, file: Loaded) -> Where | None:
        where = self._whereabouts.of(file.path, file.is_library)
        if where is None or where.is_outside:
            return where
        held = self._source.find((where.root, where.path))
        if held is not None and held.is_link:  # what a link of the source leads to has a place of its own
            return self._whereabouts.of(os.path.realpath(file.path), file.is_library)
        return where

    def _note_import(self, item: _Item, found: Findings) -> None:
        n = item.where.root
        if n is None or not self._root_paths.get(n, b"").startswith(b"/"):
            return
        directory = import_root(item.module, b"/" + item.where.path)
        if directory is not None:
            names = found.imported_from.setdefault(n, [])
            if (name := path_text(directory[1:]) or ".") not in names:
                names.append(name)

    def _is_changed(self, item: _Item, held: Held) -> bool:
        """Whether what was loaded is not what the source holds."""
        if held.is_link:
            return False  # a link to a directory that was taken for a module
        began = self._began_ns
        newer = any(mtime_ns >= began for _, mtime_ns in item.seen)
        if len(item.seen) > 1 and newer:
            return True
        try:
            now = os.stat(item.where.at)
            written_here = self._top is not None and item.where.at.startswith(self._top)
            if now.st_ctime_ns < began and written_here:
                return False  # nobody touched it since the snapshot began to look
            if now.st_size > _MOST_COMPARED:
                return newer
            with open(item.where.at, "rb", opener=unwaiting) as file:
                data = file.read()
        except OSError:
            return newer  # it is gone
        if item.seen and (now.st_size, now.st_mtime_ns) not in item.seen:
            return newer  # it was written to again since it was loaded
        return not held.is_content(data, hashlib.sha256(data).hexdigest(), self._format)

    def _keep(self, missing: list[_Item], shelf: Shelf, limits: Limits, found: Findings) -> None:
        sized: list[tuple[int, _Item]] = []
        for item in missing:
            try:
                facts = os.stat(item.where.at)
            except (OSError, ValueError) as problem:
                if item.seen:  # it was there when it was imported
                    self._leave(item, 0, f"gone ({getattr(problem, 'strerror', None) or problem})", found)
                continue
            if not stat.S_ISREG(facts.st_mode):
                continue
            if (why := _why_never(item.where)) is not None:
                self._leave(item, facts.st_size, why, found)
            else:
                sized.append((facts.st_size, item))
        sized.sort(key=lambda pair: (pair[0], pair[1].where.path))  # small ones first: they are the code
        files = size = 0
        for length, item in sized:
            if files >= limits.files or size + length > limits.bytes:
                reason = "loaded_files" if files >= limits.files else "loaded_bytes"
                self._leave(item, length, reason, found)
            elif (line := self._put(item, shelf, found)) is not None:
                found.lines.append(line)
                files, size = files + 1, size + length
        self._sum_up(found)

    def _put(self, item: _Item, shelf: Shelf, found: Findings) -> dict[str, Any] | None:
        where = item.where
        try:
            fd = unwaiting(where.at, os.O_RDONLY)
        except OSError as problem:
            self._leave(item, 0, f"unreadable ({problem.strerror})", found)
            return None
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                return None
            content = shelf.session().put_file(fd)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        held = self._source.find((where.root, where.path))  # a replay begins with what its run had loaded
        is_other = held is not None and held.sha256 != content.sha256
        rewritten = bool(item.seen) and item.seen != {(after.st_size, after.st_mtime_ns)}
        if is_other or rewritten or not same_moment(before, after):
            found.changed.add(path_text(self._from_top(where)))
        line: dict[str, Any] = {
            "path": path_text(where.path),
            "mode": "100755" if after.st_mode & stat.S_IXUSR else "100644",
            "bytes": content.bytes,
            "sha256": content.sha256,
            "reason": REASON,
            "chunks": [[blob, length] for blob, length in content.chunks],
        }
        if where.root is not None:
            line["root"] = where.root
        if where.is_outside and item.module is not None:
            line["module"] = item.module
        return line

    def _leave(self, item: _Item, size: int, reason: str, found: Findings) -> None:
        found.left_out.append({"path": path_text(self._from_top(item.where)), "bytes": size, "reason": reason})

    def _sum_up(self, found: Findings) -> None:
        """Say in words what was left out, and name no more than a reader can bear."""
        if not found.left_out:
            return
        count, size = len(found.left_out), sum(entry["bytes"] for entry in found.left_out)
        found.problems.append(f"{count} file(s) that the run loaded, {size} bytes, are not kept: see source.excluded")
        more = found.left_out[_MOST_NAMED:]
        if more:
            rest = sum(entry["bytes"] for entry in more)
            found.left_out[_MOST_NAMED:] = [
                {"path": "./", "bytes": rest, "reason": more[0]["reason"], "files": len(more)}
            ]

    def _from_top(self, where: Where) -> bytes:
        if where.root is None:
            return where.path
        return os.path.join(self._root_paths.get(where.root, b""), where.path)


def _why_never(where: Where) -> str | None:
    """The reason why this file is never kept, None for nearly all."""
    path = where.path.lstrip(b"/")
    if is_secret_file(path):
        return "secret"
    try:
        check_path(path)
    except HostilePath:
        return "unsafe name"
    return None
