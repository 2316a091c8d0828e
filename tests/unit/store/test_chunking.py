import hashlib
import io
import random
import sys
from typing import Any

import pytest

from gitrun.errors import DamagedStore, GitrunError, NewerFormat
from gitrun.monitor import SILENT, Monitor
from gitrun.store import chunking
from gitrun.store.chunking import Chunking, Readable, cut, read_head

SMALL = Chunking(whole_bytes=8192, min_bytes=512, average_bytes=2048, max_bytes=8192, normalization=2)
DATA = random.Random(5).randbytes(300_000)


def pieces(data: bytes, how: Chunking = SMALL, monitor: Monitor = SILENT) -> list[bytes]:
    return pieces_of(io.BytesIO(data), how, monitor)


def pieces_of(source: Readable, how: Chunking = SMALL, monitor: Monitor = SILENT) -> list[bytes]:
    head = read_head(source, how)
    if len(head) <= how.whole_bytes:
        return [head] if head else []
    return [bytes(piece) for piece in cut(head, source, how, monitor)]


class Trickle(io.BytesIO):
    """A source that gives a few bytes a call."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(777 if size is None or size < 0 else min(size, 777))

    def readinto(self, room: Any, /) -> int:
        return super().readinto(memoryview(room)[:777])


def test_small_files_are_one_piece_and_empty_ones_none() -> None:
    assert pieces(b"") == []
    assert pieces(DATA[:8192]) == [DATA[:8192]]
    assert len(pieces(DATA[:8193])) > 1


def test_cuts_join_to_the_whole_within_the_bounds() -> None:
    found = pieces(DATA)
    assert b"".join(found) == DATA
    assert all(SMALL.min_bytes <= len(piece) <= SMALL.max_bytes for piece in found[:-1])
    assert pieces_of(Trickle(DATA)) == found


def test_an_insertion_moves_the_cuts_with_it() -> None:
    before = {hashlib.sha256(piece).digest() for piece in pieces(DATA)}
    after = pieces(b"777 bytes" + DATA)
    new = sum(len(piece) for piece in after if hashlib.sha256(piece).digest() not in before)
    assert new < 3 * SMALL.max_bytes


class Listener(Monitor):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(code)


def _forget_pyfastcdc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyfastcdc"]:
        monkeypatch.delitem(sys.modules, name)


def test_without_the_compiled_module_the_cuts_are_the_same_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data = DATA[:40_000]
    expected = pieces(data)
    _forget_pyfastcdc(monkeypatch)
    monkeypatch.setitem(sys.modules, "pyfastcdc.cy", None)
    listener = Listener()
    assert pieces(data, monitor=listener) == expected
    assert listener.warnings == ["W020"]
    _forget_pyfastcdc(monkeypatch)


def test_with_the_compiled_module_nothing_is_said() -> None:
    listener = Listener()
    pieces(DATA, monitor=listener)
    assert listener.warnings == []


def test_without_any_module_only_large_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfastcdc", None)
    assert pieces(DATA[:100]) == [DATA[:100]]
    with pytest.raises(GitrunError, match="pyfastcdc"):
        pieces(DATA)


def test_parameters_survive_the_config() -> None:
    assert chunking.from_json(Chunking().to_json()) == Chunking()


@pytest.mark.parametrize(
    "change",
    [
        {"min_bytes": 1}, {"min_bytes": 300 << 10}, {"max_bytes": 4 << 20}, {"whole_bytes": 1 << 40},
        {"normalization": 4}, {"average_bytes": "262144"}, {"average_bytes": True}, {"max_bytes": None},
    ],
)  # fmt: skip
def test_impossible_parameters_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedStore, match="E028"):
        chunking.from_json({**Chunking().to_json(), **change})


@pytest.mark.parametrize("value", [None, [], {}, {"algorithm": chunking.ALGORITHM}])
def test_incomplete_parameters_are_refused(value: Any) -> None:
    with pytest.raises(DamagedStore, match="E028"):
        chunking.from_json(value)


def test_another_algorithm_is_a_newer_format() -> None:
    with pytest.raises(NewerFormat):
        chunking.from_json({**Chunking().to_json(), "algorithm": "quickcdc"})
