"""Making room in a directory that is only a cache: the oldest files go, and nobody has to know what is in them."""

import os
from collections.abc import Collection

from gitrun.files.write import remove_quietly


def make_room(
    directory: str, *, files: float = float("inf"), size: float = float("inf"), but: Collection[str] = ()
) -> None:
    """Removes the oldest files until a quarter of the room is free, where there is none; names of `but` stay.

    The room is a number of `files`, and their `size` in bytes. Raises OSError where it cannot be looked at.
    """
    with os.scandir(directory) as entries:
        found = [(entry.stat(), entry.path) for entry in entries if entry.name not in but]
    count, total = len(found), sum(facts.st_size for facts, _ in found)
    if count <= files and total <= size:
        return
    for facts, path in sorted(found, key=lambda pair: pair[0].st_mtime_ns):
        if count <= files * 0.75 and total <= size * 0.75:
            return
        remove_quietly(path)
        count, total = count - 1, total - facts.st_size
