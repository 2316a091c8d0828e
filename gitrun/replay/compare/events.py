"""TensorBoard's event files: the same scalars, whenever they were written.

Every event holds the time of day. That is left out, as are the times at which a hyperparameter session began
and ended; scalars are compared as numbers, tag by tag and step by step, and all else as bytes.
"""

from __future__ import annotations

from array import array
from itertools import zip_longest
from typing import NamedTuple

from gitrun.replay.compare.context import Context
from gitrun.replay.compare.floats import FLOAT32, FLOAT64, Measured
from gitrun.replay.compare.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, fields
from gitrun.replay.compare.records import read_records
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

# The numbers of fields in event.proto, summary.proto, tensor.proto and the hparams plugin's plugin_data.proto.
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5
_VALUE, _TAG, _SIMPLE, _TENSOR, _METADATA = 1, 1, 2, 8, 9
_TYPE, _CONTENT, _FLOATS, _DOUBLES = 1, 4, 5, 6
_PLUGIN, _PLUGIN_NAME, _PLUGIN_CONTENT = 1, 1, 2
_SESSION_START, _SESSION_END, _START_TIME, _END_TIME = 3, 4, 5, 2
_TYPES = {b"\1": FLOAT32, b"\2": FLOAT64}
_Path = tuple[object, ...]


class _Event(NamedTuple):
    """All but the time: what must be equal, and the floats, under their tags."""

    fixed: list[_Path]
    floats: list[tuple[str, int, bytes]]  # tag, bytes of a float, value
    step: int
    tag: str  # of one of its values


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content is named, and begins, like an event file."""
    return b"tfevents" in path and len(head) > 16 and head[12:13] == b"\x09"


def compare_events(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two event files have in common."""
    measured = {width: Measured(kind, context.tolerance) for width, kind in ((4, FLOAT32), (8, FLOAT64))}
    numbers: dict[int, list[tuple[bytes, bytes, str]]] = {4: [], 8: []}
    for index, (left, right) in enumerate(zip_longest(read_records(a), read_records(b))):
        if left is None or right is None:
            return Finding(Level.DIFFERS, f"one of the files ends after {index} events", f"event {index}")
        x, y = _event(left), _event(right)
        shapes = [[(tag, width, len(value)) for tag, width, value in each.floats] for each in (x, y)]
        if x.fixed != y.fixed or shapes[0] != shapes[1]:
            where = f"event {index}{f', {x.tag!r}' if x.tag else ''} at step {x.step}"
            return Finding(Level.DIFFERS, f"{where} is not the same", where)
        for (tag, width, mine), (_, _, theirs) in zip(x.floats, y.floats, strict=True):
            numbers[width].append((mine, theirs, f"{tag!r} at step {x.step}"))
    findings = [_measure(measured[width], pairs) for width, pairs in numbers.items() if pairs]
    if all(finding.level is Level.BIT for finding in findings):
        return Finding(Level.SEMANTIC, "the same events, only the times of day differ", "the times")
    return min(findings, key=lambda finding: finding.level)


def _measure(measured: Measured, pairs: list[tuple[bytes, bytes, str]]) -> Finding:
    places = array("L")
    width = measured.kind.width
    for index, (mine, _, _) in enumerate(pairs):
        places.extend([index] * (len(mine) // width))
    measured.add(b"".join(mine for mine, _, _ in pairs), b"".join(theirs for _, theirs, _ in pairs))
    return measured.finding(lambda index: pairs[places[index]][2])


def _event(data: bytes) -> _Event:
    fixed: list[_Path] = []
    floats: list[tuple[str, int, bytes]] = []
    step, tag = 0, ""
    for field in fields(data):
        if (field.number, field.wire) == (_WALL_TIME, FIXED64):
            fixed.append(("time",))
        elif (field.number, field.wire) == (_SUMMARY, BYTES):
            tag = _summary(field.value, fixed, floats) or tag
        else:
            fixed.append(field)
            if (field.number, field.wire) == (_STEP, VARINT):
                step = sum((byte & 127) << 7 * place for place, byte in enumerate(field.value))
    return _Event(fixed, floats, step, tag)


def _summary(data: bytes, fixed: list[_Path], floats: list[tuple[str, int, bytes]]) -> str:
    """Sorts what a summary holds; returns the tag of its last value."""
    tag = ""
    for field in fields(data):
        fixed.append(("value", field.number, field.wire))
        if (field.number, field.wire) != (_VALUE, BYTES):
            fixed.append(field)
            continue
        inside = fields(field.value)
        tag = next((each.value.decode(errors="replace") for each in inside if each.number == _TAG), "")
        for each in inside:
            if (each.number, each.wire) == (_SIMPLE, FIXED32):
                fixed.append(("simple",))
                floats.append((tag, 4, each.value))
            elif (each.number, each.wire) == (_TENSOR, BYTES):
                _tensor(each, tag, fixed, floats)
            elif (each.number, each.wire) == (_METADATA, BYTES):
                fixed.append(("metadata", *_metadata(each.value)))
            else:
                fixed.append(each)
    return tag


def _tensor(field: Field, tag: str, fixed: list[_Path], floats: list[tuple[str, int, bytes]]) -> None:
    """The floats of a tensor, where it is one of floats; else it stays as it is."""
    inside = fields(field.value)
    types = [_TYPES.get(each.value) for each in inside if (each.number, each.wire) == (_TYPE, VARINT)]
    if len(types) != 1 or types[0] is None:
        fixed.append(field)
        return
    width = types[0].width
    listed = (_FLOATS, FIXED32) if width == 4 else (_DOUBLES, FIXED64)
    for each in inside:
        is_packed = each.number in (_CONTENT, listed[0]) and each.wire == BYTES and len(each.value) % width == 0
        if is_packed or (each.number, each.wire) == listed:
            fixed.append(("floats", each.number, each.wire))
            floats.append((tag, width, each.value))
        else:
            fixed.append(each)


def _metadata(data: bytes) -> list[_Path]:
    """The metadata of a value, without the times of a hyperparameter session."""
    found: list[_Path] = []
    for field in fields(data):
        inside = fields(field.value) if (field.number, field.wire) == (_PLUGIN, BYTES) else []
        if not any((each.number, each.value) == (_PLUGIN_NAME, b"hparams") for each in inside):
            found.append(field)
            continue
        for each in inside:
            is_content = (each.number, each.wire) == (_PLUGIN_CONTENT, BYTES)
            found.append(("hparams", *_session(each.value)) if is_content else ("hparams", *each))
    return found


def _session(data: bytes) -> list[_Path]:
    found: list[_Path] = []
    for field in fields(data):
        time = {_SESSION_START: _START_TIME, _SESSION_END: _END_TIME}.get(field.number)
        if time is None or field.wire != BYTES:
            found.append(field)
            continue
        for each in fields(field.value):
            is_time = (each.number, each.wire) == (time, FIXED64)
            found.append((field.number, "time") if is_time else (field.number, *each))
    return found
