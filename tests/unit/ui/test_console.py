"""Output read back byte for byte: sealed, live, followed, and damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from gitrun.archive.live_view import LiveRun
from gitrun.archive.run import Run
from gitrun.child.frames import frame, pack_value
from gitrun.errors import DamagedRecord
from gitrun.recording.console import pack
from gitrun.recording.spool import HEAD, Spool
from gitrun.ui.console import follow, read_console

ID = "20261124-061246-k3v9tq"


@pytest.fixture
def live(tmp_path: Path) -> LiveRun:
    (tmp_path / "members" / "0").mkdir(parents=True)
    return LiveRun(ID, str(tmp_path), 0.0)


@pytest.fixture
def spool(live: LiveRun) -> Iterator[Spool]:
    opened = Spool(os.path.join(live.directory, "members", "0"), 100, 0)
    yield opened
    opened.close()


class Sealed(Run):
    """A run whose console is these bytes."""

    def __init__(self, data: bytes | None) -> None:
        super().__init__(ID)
        self._data = data

    def part(self, name: str) -> bytes | None:
        return self._data


def test_live_and_sealed_read_the_same(live: LiveRun, spool: Spool, tmp_path: Path) -> None:
    spool.write(1, 10, b"out\n")
    spool.write(2, 11, b"err\x00\xff\n")
    expected = [(1, 10, b"out\n"), (2, 11, b"err\x00\xff\n")]
    assert list(read_console(live)) == expected
    path = tmp_path / "console.zst"
    assert pack(os.path.join(live.directory, "members", "0"), str(path))
    assert list(read_console(Sealed(path.read_bytes()))) == expected


def test_nothing_captured(live: LiveRun) -> None:
    assert list(read_console(Sealed(None))) == []
    assert list(read_console(live)) == []


def test_follow_gives_every_byte_once(live: LiveRun, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the head (100 bytes here) the spool rotates its tail; what was shown is not shown again."""
    sent: list[bytes] = []

    def write(_: float) -> None:
        for _ in range(3):
            sent.append(b"line %d\n" % len(sent))
            spool.write(1, 0, sent[-1])

    monkeypatch.setattr("gitrun.ui.console.time.sleep", write)
    write(0)
    got = b"".join(data for _, _, data in follow(live, lambda: len(sent) < 60))
    assert got == b"".join(sent)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        zstandard.compress(b"garbage that is no frame"),
        zstandard.compress(HEAD + frame(b"\xc1")),
        zstandard.compress(HEAD + frame(pack_value([1, 2, b"x"]))[:-1]),
        zstandard.compress(HEAD + frame(pack_value({"gap": "many"}))),
    ],
)
def test_a_damaged_console_says_so(data: bytes) -> None:
    with pytest.raises(DamagedRecord, match="console"):
        list(read_console(Sealed(data)))


def test_a_long_console_is_read_in_blocks() -> None:
    frames: Any = b"".join(frame(pack_value([1, n, b"y" * 1000])) for n in range(5000))
    pieces = list(read_console(Sealed(zstandard.compress(HEAD + frames))))
    assert [time_ns for _, time_ns, _ in pieces] == list(range(5000))


@pytest.mark.parametrize("read", [read_console, lambda live: follow(live, lambda: False)])
def test_secrets_of_a_spool_that_holds_them_are_not_shown(
    live: LiveRun, spool: Spool, monkeypatch: pytest.MonkeyPatch, read: Callable[[LiveRun], Iterator[Any]]
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "Tr0ub4dor-and-3")
    for text in (b"it is Tr0ub4dor", b"-and-3\n"):
        spool.write(1, 1, text)
    console = Path(live.directory, "members", "0", "console")
    plain = frame(pack_value({"format": 1, "kind": "console", "requires": []}))
    console.write_bytes(plain + console.read_bytes()[len(HEAD) :])
    assert b"".join(data for _, _, data in read(live)) == b"it is <secret:MY_PASSWORD>\n"
