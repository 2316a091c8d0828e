"""The tail of a pack, which comes from wherever a remote keeps it."""

from __future__ import annotations

import hashlib
import random

import pytest

from gitrun.errors import DamagedStore
from gitrun.store.pack import PackReader, PackWriter, Tail, span_of


def pack(count: int) -> tuple[str, bytes]:
    out = bytearray()
    writer = PackWriter(out.extend)
    for n in range(count):
        data = b"%d" % n * 10
        writer.add(hashlib.sha256(data).digest(), 0, len(data), data)
    return writer.finish(), bytes(out)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_a_tail_says_what_its_pack_says(count: int) -> None:
    name, data = pack(count)
    reader = PackReader(data, name)
    tail = Tail(reader.tail(), name)
    assert tail.bytes == len(data) and tail.count == count
    assert list(tail.entries()) == list(reader.entries())
    for entry in reader.entries():
        assert tail.find(entry.blob) == entry
        start, end = span_of(entry)
        assert data[start:end][:4] == b"BLOB" and end <= tail.index_at
    assert tail.find(b"\xff" * 32) is None and tail.find(bytes(32)) is None


def test_no_changed_bit_and_no_lost_byte_goes_unnoticed() -> None:
    name, data = pack(20)
    whole = PackReader(data, name).tail()
    rnd = random.Random(5)
    for _ in range(500):
        at = rnd.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << rnd.randrange(8)
        with pytest.raises(DamagedStore, match="E023"):
            Tail(bytes(changed), name)
    for size in range(len(whole)):
        with pytest.raises(DamagedStore, match="E023"):
            Tail(whole[:size], name)
    for noise in (b"", bytes(24), bytes(5000), rnd.randbytes(5000), whole + b"x", b"x" + whole):
        with pytest.raises(DamagedStore, match="E023"):
            Tail(noise, name)
