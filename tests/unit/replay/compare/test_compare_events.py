"""TensorBoard's event files: the time of day is left out, and every checksum looked at."""

from __future__ import annotations

import struct
import time

import pytest

from gitrun.replay.compare.context import NotThis
from gitrun.replay.compare.protobuf import fields
from gitrun.replay.compare.records import crc32c
from tests.unit.replay.compare.pairs import event, field, found, level, record

NAME = "runs/events.out.tfevents.1.host.1.0"


def log(*points: tuple[float, int, bytes, float]) -> bytes:
    first = record(b"\x09" + struct.pack("<d", points[0][0]) + field(3, b"brain.Event:2"))
    return first + b"".join(event(*each) for each in points)


ONE = log((1.0, 1, b"loss", 0.5), (2.0, 2, b"loss", 0.25))


def test_only_the_time_of_day_may_differ() -> None:
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.25))) == "semantic"
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.25000001))) == "semantic"  # as float32
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.2500001))) == "tolerance"
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.26))) == "differs"
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 3, b"loss", 0.25))) == "differs"
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"acc", 0.25))) == "differs"
    assert level(NAME, ONE, log((7.0, 1, b"loss", 0.5))) == "differs"
    assert level(NAME, ONE, log((9.0, 2, b"loss", 0.25), (7.0, 1, b"loss", 0.5))) == "differs"
    assert level("other.bin", ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.25))) == "differs"


def test_the_words_name_tag_and_step() -> None:
    told = found(NAME, ONE, log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.26)))
    assert told.first == "'loss' at step 2" and "50.0 % of 2 values differ" in told.detail
    assert found(NAME, ONE, log((7.0, 1, b"lost", 0.5), (9.0, 2, b"loss", 0.25))).first == "event 1, 'loss' at step 1"


def test_a_wrong_checksum_is_never_the_same() -> None:
    other = log((7.0, 1, b"loss", 0.5), (9.0, 2, b"loss", 0.25))
    for at in range(len(other)):
        assert level(NAME, ONE, other[:at] + bytes([other[at] ^ 4]) + other[at + 1 :]) == "differs"
    assert level(NAME, ONE, other[:-1]) == "differs"


def test_times_of_a_hyperparameter_session_may_differ() -> None:
    def session(began: float, group: bytes = b"g") -> bytes:
        started = field(4, group) + b"\x29" + struct.pack("<d", began)
        plugin = field(1, b"hparams") + field(2, field(3, started))
        return record(
            b"\x09" + struct.pack("<d", began) + field(5, field(1, field(1, b"x") + field(9, field(1, plugin))))
        )

    assert level(NAME, session(1.0), session(2.0)) == "semantic"
    assert level(NAME, session(1.0), session(2.0, b"h")) == "differs"


def test_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"") == 0
    began = time.perf_counter()
    crc32c(bytes(1 << 20))
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x0b", b"\x08", b"\x08\x80\x00", b"\x08" + b"\xff" * 11, b"\0\0"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(NotThis):
        fields(data)
