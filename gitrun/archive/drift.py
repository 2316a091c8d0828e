"""Which files of the source are not as they were in an earlier run.

Asked before a resumed command starts, so it looks at trees alone: equal subtrees are never opened, and no file is
read. What lies beside the trees (loaded files, large ones) is known when a run has ended: `gitrun diff` compares it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gitrun.errors import DamagedRecord
from gitrun.git.objects import ObjectReader
from gitrun.git.trees import read_tree, tree_changes
from gitrun.model.canonical import path_bytes, path_text

Source = dict[str, Any]


def drift(reader: ObjectReader, before: Source, after: Source) -> list[str]:
    """The paths that differ between the `source` of two records, roots included, sorted.

    Raises DamagedRecord where a tree is missing, as from the record of a source that could not be read.
    """
    old, new = _trees(before), _trees(after)
    if b"" not in old or b"" not in new:
        raise DamagedRecord("one of the runs has no source")
    read = partial(read_tree, reader)
    paths: set[bytes] = set()
    for prefix in old.keys() | new.keys():
        a, b = old.get(prefix), new.get(prefix)
        if a is not None and b is not None:
            paths.update(prefix + path for path, _, _ in tree_changes(a, b, read, read))
        else:
            paths.add(prefix)  # a root that only one of them has is one difference
    return list(map(path_text, sorted(paths)))


def _trees(source: Source) -> dict[bytes, str]:
    """The tree of the source and of each root, by the directory it lies in."""
    roots = {path_bytes(root["path"]) + b"/": root["tree"] for root in source.get("roots") or []}
    return {prefix: tree for prefix, tree in {b"": source.get("tree"), **roots}.items() if tree}
