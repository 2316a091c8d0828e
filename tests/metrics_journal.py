"""Reads metrics journals as spec/metrics describes them, with struct, zlib and msgpack alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack


class Point(NamedTuple):
    """One call of `gitrun.log`; `file` is the name of the journal."""

    file: str
    step: int | None
    time_ns: int
    values: dict[str, float]


class Journals(NamedTuple):
    """All journals of a member: their points, and the frames that are maps, each by file."""

    points: list[Point]
    maps: list[tuple[str, dict[str, Any]]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for _, frame in self.maps if frame["kind"] == kind]

    @property
    def missing(self) -> int:
        return sum(frame["points"] for frame in self.of("missing"))


def read_journals(run: Path) -> Journals:
    found = Journals([], [])
    files = {path: list(frames(path.read_bytes())) for path in (run / "members" / "0").glob("metrics-*")}
    for path, values in sorted(files.items(), key=lambda pair: pair[1][0]["started_ns"] if pair[1] else 0):
        schemas: dict[int, list[str]] = {}
        for value in values:
            if isinstance(value, dict) and value["kind"] == "point":
                found.points.append(Point(path.name, value["step"], value["time_ns"], value["values"]))
            elif isinstance(value, dict):
                found.maps.append((path.name, value))
            elif value[0] == 0:
                assert value[1] > 0 and value[1] not in schemas
                schemas[value[1]] = value[2]
            else:
                names = schemas[value[0]]
                step, time_ns, *numbers = struct.unpack(f"<qq{len(names)}d", value[1])
                found.points.append(Point(path.name, step, time_ns, dict(zip(names, numbers, strict=True))))
    return found


def frames(data: bytes) -> Iterator[Any]:
    """The whole frames; behind a torn one the next whole frame is looked for."""
    at = 0
    while at + 8 <= len(data):
        length, crc = struct.unpack_from("<II", data, at)
        payload = data[at + 8 : at + 8 + length]
        if length and len(payload) == length and zlib.crc32(payload) == crc:
            yield msgpack.unpackb(payload)
            at += 8 + length
        else:
            at += 1
