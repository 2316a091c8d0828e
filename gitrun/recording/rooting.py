"""Adding roots from outside the worktree to a run, while its command runs.

What lies elsewhere is found out together with the environment, after the snapshot. The order is that of all writing:
trees and blobs durable, then the part that names the blobs, and the draft names the trees when it is written next.
"""

from collections.abc import Iterable
from typing import Any

from gitrun.capture.imports import worktree_of
from gitrun.capture.root_trees import capture_roots
from gitrun.model.canonical import decode_lines, encode_line, path_bytes
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.settings import Settings

EXTRA = "extra.jsonl"
_MOST_LINES_BYTES = 256 << 20


def add_roots(
    context: Context, settings: Settings, live: LiveDirectory, draft: dict[str, Any], paths: Iterable[bytes]
) -> list[str]:
    """Captures these absolute directories as roots of the draft's source; what is missing, in sentences.

    Raises DiskFull or NotWritable; the draft is as it was then.
    """
    source = draft["source"]
    roots = list(source.get("roots") or [])
    worktree = worktree_of(draft)
    found = capture_roots(
        paths,
        archive=context.archive,
        worktree=worktree,
        roots=roots,
        store=context.store,
        settings=settings,
        environ=context.environ,
    )
    try:
        if found.extra:
            found.shelf.commit()
            write_lines(live, [*read_lines(live), *found.extra], [*roots, *found.roots])
    finally:
        found.shelf.close()
    source["roots"] = [*roots, *found.roots]
    excluded = [*(source.get("excluded") or []), *found.excluded]
    source["excluded"] = sorted(excluded, key=lambda entry: path_bytes(entry["path"]))
    source["changed_during_run"] = sorted({*(source.get("changed_during_run") or []), *found.changed}, key=path_bytes)
    return found.problems


def read_lines(live: LiveDirectory) -> list[dict[str, Any]]:
    """The lines of a live run's `extra.jsonl`; raises DecodeProblem or OSError."""
    path = live.part_paths().get(EXTRA)
    if path is None:
        return []
    with open(path, "rb") as file:
        return decode_lines(file.read(_MOST_LINES_BYTES), _MOST_LINES_BYTES)


def write_lines(live: LiveDirectory, lines: Iterable[dict[str, Any]], roots: Iterable[dict[str, Any]]) -> None:
    """Writes `extra.jsonl`: of several lines for one file the last, sorted by their paths from the top."""
    tops = {root["n"]: path_bytes(root["path"]) + b"/" for root in roots}
    latest = {(line.get("root"), line["path"]): line for line in lines}

    def from_top(line: dict[str, Any]) -> bytes:
        n = line.get("root")
        return (b"" if n is None else tops.get(n, b"")) + path_bytes(line["path"])

    live.write_part(EXTRA, b"".join(map(encode_line, sorted(latest.values(), key=from_top))))
