"""The entries of a run while it is recorded: one part file, to which several add lines of their own kind."""

from collections.abc import Callable, Iterable
from typing import Any

from gitrun.archive.entries import PART, Entry, read_entries
from gitrun.model.canonical import MAX_BYTES, decode_lines, encode_line, path_bytes
from gitrun.recording.live import LiveDirectory

Line = dict[str, Any]


def read_artifacts(live: LiveDirectory) -> list[Line]:
    """The lines that there are; raises DecodeProblem or OSError."""
    path = live.part_paths().get(PART)
    if path is None:
        return []
    with open(path, "rb") as file:
        return decode_lines(file.read(MAX_BYTES), MAX_BYTES)


def entries_there(live: LiveDirectory) -> list[Entry]:
    """The same lines as a reader of the sealed run will see them; raises DamagedRecord as well."""
    return read_entries(read_artifacts(live))


def replace_artifacts(live: LiveDirectory, is_old: Callable[[Line], bool], lines: Iterable[Line]) -> None:
    """Writes new lines in the place of old ones, sorted by their paths; raises DiskFull or NotWritable."""
    known = read_artifacts(live)
    entries = [*(line for line in known if not is_old(line)), *lines]
    if entries or known:
        entries.sort(key=lambda line: (path_bytes(line["path"]), line["kind"]))
        live.write_part(PART, b"".join(map(encode_line, entries)))
