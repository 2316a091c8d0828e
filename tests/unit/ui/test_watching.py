"""The page of a live run: one member, and several with a line each."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitrun.archive.live_view import LiveRun
from gitrun.child import points as made
from gitrun.model.times import parse_iso
from gitrun.recording.spool import Spool
from gitrun.ui.terminal import Screen
from gitrun.ui.watching import Watched
from tests.hand import Hand
from tests.unit.recording.test_so_far import ID, journal

NOW_NS = parse_iso("2026-11-24T06:13:46Z")


def system(member: Path, cores: float, *more: float) -> None:
    """A journal of the system series: this many cores and a MiB for each look."""
    names = ("cpu_cores", "memory_bytes", "gpu/0/busy")
    packer = made.packer(1, 3)
    looks = enumerate((cores, *more))
    data = b"".join(made.point(packer, step, step, (value, value * (1 << 20), 0.5)) for step, value in looks)
    (member / "system-7-00000000").write_bytes(made.head(7, 1, None) + made.schema(1, names) + data)


def say(member: Path, text: bytes) -> None:
    with closing(Spool(str(member), 1 << 20, 0)) as spool:
        spool.write(1, 1, text)


@pytest.fixture
def first(hand: Hand) -> Iterator[Path]:
    member = hand.live(ID, name="now") / "members" / "0"
    journal(member, [{"loss": 2.0}, {"loss": 1.0}], 0)
    system(member, 1.0, 1.5)
    say(member, b"zero begins\n")
    yield member


def page(watched: Watched) -> list[str]:
    watched.look()
    return watched.page(Screen(io.StringIO(), {}), 100, NOW_NS)


def watched(member: Path, only: int | None = None) -> closing[Watched]:
    return closing(Watched(LiveRun(ID, str(member.parents[1]), 0.0), plain=True, only=only))


def test_one_member(first: Path) -> None:
    with watched(first) as one:
        lines = page(one)
    assert re.fullmatch(f"run {ID}  running for .+  now", lines[0])
    assert "  cpu            1.50 cores                   _#" in lines
    assert any(line.startswith("  gpu 0          50 % busy") for line in lines)
    assert lines[-2:] == ["console", "  zero begins"] and "members" not in lines


def test_a_member_that_comes_later_has_a_line_of_its_own(first: Path) -> None:
    with watched(first) as all_of_them:
        page(all_of_them)
        other = first.parent / "1"
        journal(other, [{"loss": 9.0, "of one": 3.0}], 1)
        system(other, 2.0)
        say(other, b"one begins\n")
        lines = page(all_of_them)
        at = lines.index("members")
        assert lines[at + 1].startswith("  member 0       1.50 cores, 1.5 MiB, gpu 0 50 % busy")
        assert lines[at + 2].startswith("  member 1       2.00 cores, 2.0 MiB, gpu 0 50 % busy")
        assert "  cpu            3.50 cores" in lines and lines[-2:] == ["  zero begins", "  1| one begins"]
        assert any(line.startswith("  loss           1  step 1") for line in lines), "of rank 0"
        assert any(line.startswith("  of one         3  step 0") for line in lines)
        with watched(first, only=1) as only:
            lines = page(only)
            assert any(line.startswith("  cpu            2.00 cores") for line in lines)
            assert lines[-1] == "  one begins" and "members" not in lines
        (other / "left").touch()
        ended = page(all_of_them)
        assert "  member 1       has ended" in ended and "  cpu            1.50 cores" in ended
        fields = all_of_them.line(NOW_NS)
        assert fields[0] == "running (1 of 2 members)" and fields[-1] == "1| one begins"


def test_many_members_are_cut(first: Path) -> None:
    for n in range(1, 40):
        (first.parent / str(n)).mkdir()
    with watched(first) as many:
        lines = page(many)
    assert "  … and 24 more" in lines and sum(line.startswith("  member ") for line in lines) == 16
