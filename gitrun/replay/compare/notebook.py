"""Jupyter notebooks: the same cells and outputs, run in another session.

Left out are the counters in front of cells, the random ids of cells, and the times that front ends and papermill
keep. Sources, outputs and all other metadata have to agree, in their order.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_MAX_BYTES = 32 << 20
_MAX_VALUES = 1 << 20
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TIMES = {
    "papermill": {"start_time", "end_time", "duration"},
    "execution": {
        "iopub.execute_input", "iopub.status.busy", "iopub.status.idle", "shell.execute_reply",
        "shell.execute_reply.started", "shell.execute_reply.end",
    },
    "ExecuteTime": {"start_time", "end_time"},
}  # fmt: skip
Pairs = list[tuple[str, Any]]


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content is named, and begins, like a notebook."""
    return path.endswith(b".ipynb") and head.lstrip().startswith(b"{")


def compare_notebook(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two notebooks have in common."""
    left, right = _notebook(a.all(_MAX_BYTES)), _notebook(b.all(_MAX_BYTES))
    if left == right:
        what = "only counters, ids or times of execution differ"
        return Finding(Level.SEMANTIC, f"the same cells and outputs, {what}", "the metadata")
    mine, theirs = (dict(each).get("cells") or [] for each in (left, right))
    if len(mine) != len(theirs):
        return Finding(Level.DIFFERS, f"{len(mine)} and {len(theirs)} cells", f"cell {min(len(mine), len(theirs)) + 1}")
    for number, (x, y) in enumerate(zip(mine, theirs, strict=True), 1):
        if x != y:
            return Finding(Level.DIFFERS, f"cell {number} differs{_in_what(x, y)}", f"cell {number}")
    return Finding(Level.DIFFERS, "the metadata of the notebook differ", "the metadata")


def _in_what(a: Any, b: Any) -> str:
    if type(a) is not _Pairs or type(b) is not _Pairs:
        return ""
    x, y = dict(a), dict(b)
    return f" in its {key}" if (key := next((key for key in x if key not in y or x[key] != y[key]), "")) else ""


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object, its keys in their order; not to be taken for a list."""


class _Number(NamedTuple):
    """A number as it is written, which is neither a text nor a truth value."""

    text: str


def _notebook(data: bytes) -> Any:
    if sum(data.count(each) for each in (b"[", b"{", b",")) > _MAX_VALUES:
        raise NotThis("a large notebook")
    top = json.loads(
        data.decode(), object_pairs_hook=_pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number
    )
    if type(top) is not _Pairs:
        raise NotThis("no notebook")
    return _mapped(top, cells=lambda cells: [_cell(cell) for cell in _list(cells)], metadata=_metadata)


def _cell(cell: Any) -> Any:
    return _mapped(
        cell,
        execution_count=_count,
        id=lambda value: None if type(value) is str and _ID.fullmatch(value) else value,
        metadata=_metadata,
        outputs=lambda outputs: [_mapped(each, execution_count=_count) for each in _list(outputs)],
    )


def _count(value: Any) -> Any:
    return _Number("0") if type(value) is _Number else value


def _metadata(metadata: Any) -> Any:
    if type(metadata) is not _Pairs:
        return metadata
    pairs = [(key, _without_times(value, _TIMES[key]) if key in _TIMES else value) for key, value in metadata]
    return _Pairs((key, value) for key, value in pairs if key not in _TIMES or value != _Pairs())


def _without_times(value: Any, times: set[str]) -> Any:
    if type(value) is not _Pairs:
        return value
    return _Pairs((key, each) for key, each in value if key not in times)


def _mapped(value: Any, **rules: Any) -> Any:
    """An object with some of its values replaced; anything else as it is."""
    if type(value) is not _Pairs:
        return value
    return _Pairs((key, rules[key](each) if key in rules else each) for key, each in value)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise NotThis("no notebook")
    return value


def _pairs(pairs: Pairs) -> _Pairs:
    if len({key for key, _ in pairs}) != len(pairs):
        raise NotThis("a key that is there twice")
    return _Pairs(pairs)
