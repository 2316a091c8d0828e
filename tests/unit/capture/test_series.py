"""Metrics journals read back: every whole point and nothing else, whatever a stranger or a full disk wrote there."""

from __future__ import annotations

import math
import os
import random
import struct
from array import array
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import series
from gitrun.capture.columns import Group
from gitrun.capture.series import Points
from gitrun.child import points as made
from gitrun.child.frames import frame, pack_value
from tests.metrics_journal import read_journals

Row = tuple[int | None, int | None, float]
HEAD = made.head(7, 1_000, None)


def rows(points: Points) -> dict[tuple[str, int | None], list[Row]]:
    """The points by name and rank."""
    found: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
    for group in points.groups:
        steps, times = (array("q", b"".join(group.columns[at])) for at in (0, 1))
        for at, name in enumerate(group.names):
            values = array("d", b"".join(group.columns[2 + at]))
            assert len(values) == len(steps) == group.count
            for step, time_ns, value in zip(steps, times, values, strict=True):
                row = step if group.has_step else None, time_ns if group.has_time else None, value
                found[name, group.rank].append(row)
    return dict(found)


class Journal:
    """The bytes of a journal, and the points that are in it."""

    def __init__(self, head: bytes = HEAD, rank: int | None = None) -> None:
        self.data = bytearray(head)
        self.rank = rank
        self.expected: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
        self.packers: dict[tuple[str, ...], Any] = {}

    def log(self, values: dict[str, float], step: int, time_ns: int = 5) -> bytes:
        names = tuple(values)
        data = b""
        if names not in self.packers:
            number = len(self.packers)
            data = made.schema(number, names)
            self.packers[names] = made.packer(number, len(names))
        data += made.point(self.packers[names], step, time_ns, values.values())
        for name, value in values.items():
            self.expected[name, self.rank].append((step, time_ns, value))
        self.data += data
        return data

    def write(self, folder: Path, name: str = "metrics-7-00000001") -> Path:
        path = folder / name
        path.write_bytes(self.data)
        return path


def read(folder: Path) -> Points:
    return Points([str(folder)]).read()


def test_points_of_many_schemas_are_all_there(tmp_path: Path) -> None:
    journal, chance = Journal(), random.Random(1)
    kinds = [tuple(f"m{n}/{k}" for k in range(chance.choice([1, 2, 3, 40]))) for n in range(300)]
    for step in range(5000):
        names = kinds[0] if step % 7 else chance.choice(kinds)
        journal.log({name: chance.random() for name in names}, step, chance.randrange(1 << 62))
    journal.write(tmp_path)
    points = read(tmp_path)
    assert rows(points) == journal.expected
    assert points.problems == [] and points.missing == {}


@pytest.mark.parametrize("block", [1, 61, 4096])
def test_the_borders_of_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(series, "_BLOCK", block)
    journal = Journal()
    for step in range(300):
        journal.log({"a": step, "b": -step} if step % 100 else {"c": 1}, step)
    journal.write(tmp_path)
    assert rows(read(tmp_path)) == journal.expected


def test_a_second_look_goes_on_where_the_first_one_was(tmp_path: Path) -> None:
    journal = Journal()
    cuts = []
    for step in range(100):
        journal.log({"a": step}, step)
        cuts.append(len(journal.data))
    path = tmp_path / "metrics-7-00000001"
    points = Points([str(tmp_path)])
    assert points.read().is_empty
    for cut in (30, cuts[0] + 3, cuts[50], cuts[70] + 20, len(journal.data)):  # some of them inside a frame
        path.write_bytes(journal.data[:cut])
        points.read()
    assert rows(points) == journal.expected and points.problems == []


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    journal = Journal()
    for step in range(10):
        last = journal.log({"a": step}, step)
    del journal.data[-5:], journal.expected["a", None][-1]
    assert len(last) > 5
    journal.write(tmp_path)
    points = read(tmp_path)
    assert rows(points) == journal.expected and points.problems == []


@pytest.mark.parametrize("data", [b"", HEAD[:20]])
def test_a_file_that_nobody_could_write_to_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "metrics-7-00000001").write_bytes(data)
    points = read(tmp_path)
    assert points.void == ["metrics-7-00000001"] and not points.is_empty
    (tmp_path / "metrics-7-00000001").write_bytes(HEAD)
    assert points.read().void == []


def test_whole_points_behind_a_torn_one_are_found(tmp_path: Path) -> None:
    journal = Journal()
    for step in range(200):
        journal.log({"a": step}, step)
    torn = journal.log({"a": 200}, 200)
    del journal.data[-7:], journal.expected["a", None][-1]
    for step in range(201, 400):  # by another thread
        journal.log({"a": step}, step)
    assert torn
    journal.write(tmp_path)
    points = read(tmp_path)
    assert rows(points) == journal.expected
    assert points.problems == ["metrics-7-00000001: bytes that are no whole frame were passed over"]


def test_a_flipped_bit_costs_one_point(tmp_path: Path) -> None:
    journal = Journal()
    for step in range(1000):
        data = journal.log({"a": step}, step)
    journal.data[-500 * len(data) + 20] ^= 4
    del journal.expected["a", None][500]
    journal.write(tmp_path)
    assert rows(read(tmp_path)) == journal.expected


def test_each_process_has_its_rank(tmp_path: Path) -> None:
    journals = [Journal(made.head(n, n, n), n) for n in range(3)]
    for n, journal in enumerate(journals):
        journal.log({"loss": n}, 0)
        journal.write(tmp_path, f"metrics-{n}-0000000{n}")
    assert rows(read(tmp_path)) == {("loss", n): [(0, 5, float(n))] for n in range(3)}


def test_points_without_a_schema_and_without_a_step(tmp_path: Path) -> None:
    head = made.head(1, 1, None)
    lone = [
        made.lone_point(None, 10, {"a": 1.0}, None),
        made.lone_point(7, 11, {"a": 2.0, "b": math.inf}, None),
        made.lone_point(None, 12, {"a": 3.0}, None),
        made.lone_point(None, 13, {"a": 4.0}, 2),
    ]
    (tmp_path / "metrics-log").write_bytes(head + b"".join(lone))
    assert rows(read(tmp_path)) == {
        ("a", None): [(0, 10, 1.0), (7, 11, 2.0), (8, 12, 3.0)],
        ("b", None): [(7, 11, math.inf)],
        ("a", 2): [(0, 13, 4.0)],
    }


def test_a_number_in_another_form_is_the_same_schema(tmp_path: Path) -> None:
    wide = b"\x92" + b"\xce\0\0\0\x01" + pack_value(struct.pack("<qqd", 3, 4, 5.0))
    (tmp_path / "metrics-1-00000000").write_bytes(HEAD + made.schema(1, ["a"]) + frame(wide))
    assert rows(read(tmp_path)) == {("a", None): [(3, 4, 5.0)]}


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    data = HEAD + made.missing(3, "No space left on device") + made.missing(4, "No space left on device")
    (tmp_path / "metrics-1-00000000").write_bytes(data)
    assert read(tmp_path).missing == {"No space left on device": 7}


def test_rank_0_has_the_last_word(tmp_path: Path) -> None:
    def said(rank: int | None, started: int, value: str) -> bytes:
        return made.head(1, started, rank) + frame(pack_value({"kind": "config", "values": {"a": value}}))

    for n, data in enumerate((said(1, 5, "one"), said(0, 3, "early"), said(0, 4, "late"), said(3, 9, "three"))):
        (tmp_path / f"metrics-1-0000000{n}").write_bytes(data)
    points = read(tmp_path)
    assert [one.facts["values"]["a"] for one in points.said] == ["three", "one", "early", "late"]


def test_the_journal_of_the_specification(tmp_path: Path) -> None:
    data = (Path(__file__).parents[3] / "spec" / "vectors" / "journal" / "metrics").read_bytes()
    (tmp_path / "metrics-1-00000000").write_bytes(data)
    points = read(tmp_path)
    assert all("whole frame" in problem for problem in points.problems)
    (tmp_path / "members" / "0").mkdir(parents=True)
    (tmp_path / "members" / "0" / "metrics-1-00000000").write_bytes(data)
    theirs = read_journals(tmp_path).points
    expected = sorted((name, point.time_ns, value) for point in theirs for name, value in point.values.items())
    mine = sorted((name, time or 0, value) for (name, _), found in rows(points).items() for _, time, value in found)
    assert repr(mine) == repr(expected) and len(mine) > 3


STRANGE = {
    "no msgpack": b"\xc1\xc1\xc1",
    "an unknown schema": pack_value([99, bytes(24)]),
    "a point of another length": pack_value([0, bytes(23)]),
    "no bytes": pack_value([0, "x" * 24]),
    "names that are none": pack_value([0, 1, ["", "a"]]),
    "a name with NUL": pack_value([0, 1, ["a\0"]]),
    "a long name": pack_value([0, 1, ["a" * 1001]]),
    "no names": pack_value([0, 1, []]),
    "a text for a number": pack_value([0, "1", ["a"]]),
    "a lone value": pack_value(5),
    "a text for a value": pack_value({"kind": "point", "step": 1, "time_ns": 1, "values": {"a": "x"}, "rank": None}),
    "a text for a step": pack_value({"kind": "point", "step": "1", "time_ns": 1, "values": {"a": 1.0}, "rank": None}),
    "a large step": pack_value({"kind": "point", "step": 1 << 63, "time_ns": 1, "values": {"a": 1.0}, "rank": None}),
    "values that are none": pack_value({"kind": "summary", "values": [1]}),
    "a count that is none": pack_value({"kind": "missing", "points": "many", "why": "?"}),
    "a deep value": b"\x91" * 5000 + b"\xc0",
}


@pytest.mark.parametrize("payload", STRANGE.values(), ids=STRANGE)
def test_strange_frames_are_passed_over_and_told(tmp_path: Path, payload: bytes) -> None:
    journal = Journal()
    journal.log({"a": 1}, 1)
    journal.data += frame(payload)
    journal.log({"a": 2}, 2)
    journal.write(tmp_path)
    points = read(tmp_path)
    assert rows(points) == journal.expected
    assert points.problems == ["metrics-7-00000001: a frame is not what gitrun.log writes"]


def test_frames_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics-1-00000000").write_bytes(HEAD + frame(pack_value({"kind": "later", "values": 1})))
    points = read(tmp_path)
    assert points.is_empty


@pytest.mark.parametrize("more", [{"format": 2}, {"requires": ["columns"]}])
def test_a_file_of_a_later_gitrun_is_left_alone(tmp_path: Path, more: dict[str, Any]) -> None:
    head = {"kind": "metrics", "format": 1, "requires": [], "pid": 1, "started_ns": 1, "rank": None, **more}
    (tmp_path / "metrics-1-00000000").write_bytes(frame(pack_value(head)) + made.schema(0, ["a"]))
    points = read(tmp_path)
    assert points.groups == [] and len(points.problems) == 1
    assert points.problems[0].startswith("metrics-1-00000000: written by a later gitrun, ")


@pytest.mark.parametrize("data", [bytes(3 << 20), b"\xff" * (3 << 20), b"\x10\0\0\0\0\0\0\0\x92" * (1 << 18)])
def test_damage_without_end_is_given_up(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "metrics-1-00000000").write_bytes(HEAD + data)
    points = read(tmp_path)
    assert points.groups == [] and all("damaged" in problem for problem in points.problems)


def test_a_file_that_is_nothing_but_zeros_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_PAYLOAD", 1 << 20)
    monkeypatch.setattr(series, "_BLOCK", 1 << 18)
    path = tmp_path / "metrics-1-00000000"
    path.write_bytes(HEAD)
    os.truncate(path, 7 << 30)
    points = read(tmp_path)
    assert points.problems == [f"metrics-1-00000000: damaged, read up to byte {len(HEAD):,}"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    journal = Journal()
    journal.log({"a": 1}, 1)
    target = journal.write(tmp_path, "elsewhere")
    os.mkfifo(tmp_path / "metrics-1-00000000")
    (tmp_path / "metrics-2-00000000").symlink_to(target)
    (tmp_path / "metrics-3-00000000").mkdir()
    assert read(tmp_path).groups == []
    assert read(tmp_path / "nowhere").is_empty


def test_schemas_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_SCHEMAS", 2)
    journal = Journal()
    for name in "abc":
        journal.log({name: 1}, 0)
    journal.write(tmp_path)
    points = read(tmp_path)
    assert set(rows(points)) == {("a", None), ("b", None)}
    assert points.problems[0] == "more than 2 kinds of points, of which the first were read"


def test_columns_are_compact() -> None:
    group = Group(("a",), None)
    group.rows = [struct.pack("<qqd", n, n, n) for n in range(100)]
    group.settle()
    assert [sum(map(len, column)) for column in group.columns] == [800, 800, 800] and group.rows == []


def test_a_program_that_tells_a_second_schema_late(tmp_path: Path) -> None:
    """Frames that are counted in vain lie between those that could repeat: none of them is lost."""
    for every in range(2, 9):
        journal = Journal()
        for step in range(40):
            journal.log({"loss": 1.0}, step)
            if step % every == 0:
                journal.log({"val": 2.0}, step)
        folder = tmp_path / str(every)
        folder.mkdir()
        (folder / "metrics-7-0123abcd").write_bytes(journal.data)
        assert rows(Points([str(folder)]).read()) == journal.expected, every
