"""Metrics journals read back: millions of frames made columns, while a run goes on or when it has ended.

Each process of a run has a file of its own, and a point in it is a frame of a few dozen bytes. To make objects of each
would take seconds and gigabytes. So the only work per frame is to judge it (length, crc32) and to put it with those
of the same names; what lies together is then cut into columns by slices with a stride, which costs nothing.

Any program of the run could have written there, so a file is a stranger's word: what is no point is passed over, and
of all there is a bound. Two threads write to one file, so a torn frame may have whole ones behind it; these are looked
for, and their crc32 is the proof. What is behind the last whole frame is left for the next look.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple, Self

from gitrun.capture.columns import Group, Pattern
from gitrun.capture.facts import unwaiting
from gitrun.child.frames import HEADER_BYTES, MAX_PAYLOAD, METRICS, pack_value

MAX_BYTES = 8 << 30  # of the journals of a run
MAX_FILES = 10_000
MAX_SCHEMAS = 200_000
MAX_SAID = 16 << 20  # bytes of configuration and summary
MAX_NAME = 1000
_BLOCK = 16 << 20
_DAMAGED = "damaged"
_TRIES = 1 << 18  # for whole frames behind torn ones of one file
_TO_PROVE = 64 << 20  # bytes of which the crc32 is taken for that
_MOST_PROBLEMS = 20
_HEAD = struct.Struct("<II")
_ROW = struct.Struct("<qqd")
_BEGIN = re.compile(rb"[\x80-\x9f\xdc-\xdf]")  # of a payload: a map or a list in msgpack


class Said(NamedTuple):
    """What a program said to the run: `kind` is config, summary or seed, `facts` the frame."""

    kind: str
    rank: int | None
    facts: dict[str, Any]


class Points:
    """What the journals of some directories hold; `read` may be called again, and goes on where it was.

    `missing` counts points that could not be written, by the reason; `problems` are sentences. With `most_bytes` only
    the first and the last part of journals that are longer together is read, once: `is_partial` says that it was so.
    """

    def __init__(self, folders: Iterable[str], prefix: str = METRICS, most_bytes: int = MAX_BYTES) -> None:
        self.groups: list[Group] = []
        self.missing: dict[str, int] = {}
        self.problems: list[str] = []
        self._folders = list(folders)
        self._name = re.compile(re.escape(prefix) + "(?:[0-9]{1,10}-[0-9a-f]{8}|log)")
        self._journals: dict[str, _Journal] = {}
        self._alone: dict[tuple[str, int | None, bool, bool], Group] = {}
        self._room = MAX_BYTES
        self._said_room = MAX_SAID
        self._most = most_bytes
        self.is_partial = False

    def read(self) -> Self:
        """Reads what has been written since; never raises for what lies there."""
        for folder in self._folders:
            for name in _names(folder):
                path = os.path.join(folder, name)
                if self._name.fullmatch(name) and path not in self._journals and len(self._journals) < MAX_FILES:
                    self._journals[path] = _Journal(path)
        for journal in self._journals.values():
            try:
                self._room -= journal.read(self, self._room, self._most // len(self._journals))
            except OSError as problem:
                self.tell(f"{journal.name}: {problem.strerror}")
        for group in self._alone.values():
            group.settle()
        return self

    def add_folder(self, folder: str) -> None:
        """Has the next `read` look there as well."""
        self._folders.append(folder)

    @property
    def is_empty(self) -> bool:
        """Whether nobody has written anything."""
        return not (self.groups or self.missing or self.problems or self.said or self.void)

    @property
    def void(self) -> list[str]:
        """The journals that somebody has begun and could write nothing to."""
        return [journal.name for journal in self._journals.values() if journal.is_void]

    @property
    def said(self) -> list[Said]:
        """Configuration, summary and seeds, in the order in which one follows the other: rank 0 has the last word."""
        journals = sorted(self._journals.values(), key=lambda one: (-(one.rank or 0), one.started_ns, one.path))
        return [said for journal in journals for said in journal.said]

    def add(self, name: str, value: float, step: int | None, time_ns: int | None, rank: int | None) -> None:
        """Adds a point that no schema is for."""
        key = name, rank, step is not None, time_ns is not None
        group = self._alone.get(key)
        if group is None:
            group = self._alone[key] = Group((name,), rank)
            group.has_step, group.has_time = key[2:]
            self.groups.append(group)
        group.rows.append(_ROW.pack(step or 0, time_ns or 0, value))

    def settle(self) -> None:
        """Brings what `add` was given into columns."""
        for group in self._alone.values():
            group.settle()

    def tell(self, problem: str) -> None:
        """Adds a problem, once."""
        if problem not in self.problems and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    def take_room(self, size_bytes: int) -> bool:
        """Whether there is room for as much of configuration and summary."""
        self._said_room -= size_bytes
        return self._said_room >= 0


class _Journal:
    """One file, and how far it was read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.rank: int | None = None
        self.started_ns = 0
        self.said: list[Said] = []
        self.is_void = False
        self._at = 0
        self._refused = ""  # why nothing more is read
        self._schemas: dict[int, Group] = {}
        self._rows: dict[bytes, Group] = {}  # by the first bytes of a point's payload
        self._steps: dict[int | None, int] = {}  # the last one of each rank, of points without schema
        self._tries, self._to_prove = _TRIES, _TO_PROVE

    def read(self, points: Points, room: int, share: int) -> int:
        """Reads on, at most `room` bytes; returns how many that were. Raises OSError.

        Of what is longer than `share`, half of that from its beginning, and half from its end.
        """
        if self._refused:
            return 0
        with open(self.path, "rb", opener=_opener) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return 0
            if found.st_size - self._at > room:
                points.tell(f"{self.name}: more than {MAX_BYTES:,} bytes of metrics, of which the first were read")
            before = self._at
            file.seek(before)
            if found.st_size - before > share:
                points.is_partial = True
                self._blocks(file, points, share // 2)
                self._at = file.seek(found.st_size - share // 2)
            self._blocks(file, points, room)
        self.is_void = not (self._at or self._refused)
        return self._at - before

    def _blocks(self, file: BinaryIO, points: Points, room: int) -> None:
        data = b""
        while not self._refused:
            more = file.read(min(_BLOCK, room))
            room -= len(more)
            data += more
            used = self._frames(data, points)
            for group in self._schemas.values():
                group.settle()
            whole = None if more else self._behind(data, used)
            if whole is not None:
                points.tell(f"{self.name}: bytes that are no whole frame were passed over")
                used = whole
            self._at += used
            data = data[used:]
            if len(data) > _BLOCK + MAX_PAYLOAD:  # no frame is as long
                self._refused = _DAMAGED
            if not more and whole is None:
                break
        if self._refused:
            points.tell(f"{self.name}: {self._refused}, read up to byte {self._at:,}")

    def _frames(self, data: bytes, points: Points) -> int:
        """Takes all whole frames; returns where the first begins that is none, or not whole yet."""
        head, crc32, known, pattern = _HEAD.unpack_from, zlib.crc32, self._rows, Pattern()
        at, end = 0, len(data)
        while end - at >= HEADER_BYTES and not self._refused:
            length, crc = head(data, at)
            stop = at + HEADER_BYTES + length
            payload = data[at + HEADER_BYTES : stop] if length <= MAX_PAYLOAD else b""
            if crc32(payload) != crc or not payload:
                if length <= MAX_PAYLOAD and stop > end:
                    break  # the rest of it may be in the next block
                whole = self._behind(data, at)
                if whole is None:
                    break
                points.tell(f"{self.name}: bytes that are no whole frame were passed over")
                at = whole
                continue
            group = known.get(payload[:4])
            if group is None or stop - at != group.size:
                self._other(payload, points)
            elif taken := pattern.take(data, at, group):
                stop = at + taken
            else:
                group.rows.append(data[at:stop])
            at = stop
        return at

    def _behind(self, data: bytes, at: int) -> int | None:
        """Where the next whole frame begins behind one that is torn; None where none is found."""
        for match in _BEGIN.finditer(data, at + 1 + HEADER_BYTES):
            begin = match.start() - HEADER_BYTES
            length, crc = _HEAD.unpack_from(data, begin)
            self._tries -= 1
            if 0 < length <= len(data) - match.start():
                self._to_prove -= length
                if zlib.crc32(data[match.start() : match.start() + length]) == crc:
                    return begin
            if self._tries < 0 or self._to_prove < 0:
                self._refused = _DAMAGED
                return None
        return None

    def _other(self, payload: bytes, points: Points) -> None:
        """A frame that is no point of a known schema."""
        import msgpack  # third-party; a run that logs nothing never needs it

        try:
            value = msgpack.unpackb(payload, unicode_errors="surrogateescape", strict_map_key=False)
            if type(value) is dict:
                self._map(value, len(payload), points)
            elif value[0] == 0 and len(value) == 3:
                self._schema(value[1], value[2], points)
            else:
                group = self._schemas[value[0]]  # its number is written in another form
                row = bytes(group.lead) + value[1]
                if len(row) != group.size:
                    raise ValueError
                group.rows.append(row)
        except Exception:  # msgpack's errors have no common base, and a stranger's values may be anything
            points.tell(f"{self.name}: a frame is not what gitrun.log writes")

    def _schema(self, number: Any, names: Any, points: Points) -> None:
        if type(number) is not int or not names or not all(map(_is_name, names)):
            raise ValueError
        if len(points.groups) >= MAX_SCHEMAS:
            points.tell(f"more than {MAX_SCHEMAS:,} kinds of points, of which the first were read")
            return
        data = 16 + 8 * len(names)
        prefix = b"\x92" + pack_value(number) + pack_value(bytes(data))[:-data]
        group = Group(tuple(names), self.rank, (len(prefix) + data).to_bytes(4, "little") + bytes(4) + prefix)
        self._schemas[number] = self._rows[prefix[:4]] = group
        points.groups.append(group)

    def _map(self, facts: dict[Any, Any], size_bytes: int, points: Points) -> None:
        kind = facts.get("kind")
        if kind == "metrics":
            if facts["format"] != 1 or facts.get("requires"):
                self._refused = "written by a later gitrun"
                return
            self.rank, self.started_ns = _rank(facts.get("rank")), int(facts["started_ns"])
        elif kind == "point":
            time_ns, rank = facts.get("time_ns"), _rank(facts.get("rank"))
            step = self._steps.get(rank, -1) + 1 if facts.get("step") is None else facts["step"]
            _ROW.pack(step, time_ns, 0)  # raises where they are no integers of 64 bits
            self._steps[rank] = step
            for name, value in facts["values"].items():
                if not _is_name(name) or type(value) not in (int, float, bool):
                    raise ValueError
                points.add(name, float(value), step, time_ns, rank)
        elif kind == "missing":
            why = str(facts["why"])[:200]
            if len(points.missing) < _MOST_PROBLEMS or why in points.missing:
                points.missing[why] = points.missing.get(why, 0) + int(facts["points"])
        elif kind in ("config", "summary", "seed"):
            if kind != "seed" and type(facts["values"]) is not dict:
                raise ValueError
            if facts.get("more"):
                points.tell(f"{kind}: the program said more than is kept")
            if points.take_room(size_bytes):
                self.said.append(Said(kind, self.rank, facts))
            else:
                points.tell(f"more than {MAX_SAID:,} bytes of config and summary, of which the first were read")


def _is_name(name: Any) -> bool:
    return type(name) is str and 0 < len(name.encode("utf-8")) <= MAX_NAME and "\0" not in name


def _rank(rank: Any) -> int | None:
    return rank if type(rank) is int and 0 <= rank < 1 << 31 else None


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []  # the run has just been sealed


def _opener(path: str, flags: int) -> int:
    return unwaiting(path, flags | os.O_NOFOLLOW)
