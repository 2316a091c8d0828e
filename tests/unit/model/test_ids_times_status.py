"""Ids, times and statuses: the small pure pieces every record is named and judged by."""

from __future__ import annotations

import pytest

from gitrun.errors import DamagedRecord, NewerFormat
from gitrun.model.ids import ALPHABET, is_run_id, new_run_id, random_word, short
from gitrun.model.record import check_readable, status_of
from gitrun.model.times import iso, parse_iso


def test_an_id_is_its_start_and_thirty_random_bits() -> None:
    run_id = new_run_id(1795500766.9, b"\x00\x00\x00\x00")
    assert run_id == "20261124-061246-000000"
    assert new_run_id(0, b"\xff\xff\xff\xff").endswith("-zzzzzz")
    assert is_run_id(run_id)
    assert short(run_id) == "000000"


def test_every_letter_of_the_alphabet_makes_a_valid_id() -> None:
    for letter in ALPHABET:
        assert is_run_id("20261124-061246-" + letter * 6)
    assert len(ALPHABET) == 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261124-061246-00000",
        "20261124-061246-0000o0",
        "20261124-061246-000000\n",
        "a/20261124",
        "20261124-061246-ABCDEF",
    ],
)
def test_what_is_not_an_id(text: str) -> None:
    assert not is_run_id(text)


def test_a_random_word_needs_four_bytes() -> None:
    with pytest.raises(ValueError, match="four"):
        random_word(b"abc")


def test_times_keep_microseconds_and_come_back() -> None:
    ns = 1795500766_123456_000
    assert iso(ns) == "2026-11-24T06:12:46.123456Z"
    assert parse_iso(iso(ns)) == ns
    assert parse_iso("2026-11-24T06:12:46Z") == 1795500766_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24",
        "2026-11-24T06:12:46",
        "2026-11-24T06:12:46+01:00",
        "2026-13-24T06:12:46Z",
        "2026-02-29T06:12:46Z",
        "2026-11-24T24:00:00Z",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_iso(text)


@pytest.mark.parametrize(
    ("code", "signal", "forwarded", "status"),
    [
        (0, None, False, "completed"),
        (0, None, True, "completed"),
        (1, None, False, "failed"),
        (130, None, True, "failed"),
        (None, 9, False, "failed"),
        (None, 15, True, "interrupted"),
        (None, None, False, "lost"),
    ],
)
def test_status(code: int | None, signal: int | None, forwarded: bool, status: str) -> None:
    assert status_of(code, signal, forwarded) == status


GOOD = {"format": 1, "requires": [], "id": "20261124-061246-000000", "status": "completed"}


def test_a_record_with_unknown_fields_is_read_as_it_is() -> None:
    record = GOOD | {"from_the_future": {"kept": True}}
    assert check_readable(record) is record


@pytest.mark.parametrize("change", [{"format": 2}, {"requires": ["levitation"]}])
def test_a_later_format_is_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(NewerFormat, match="20261124-061246-000000") as caught:
        check_readable(GOOD | change)
    assert caught.value.next


@pytest.mark.parametrize(
    "record",
    [None, [], {}, {"format": "1"}, GOOD | {"id": "../x"}, GOOD | {"status": "fine"}, GOOD | {"requires": "x"}],
)
def test_what_is_not_a_record_is_damage(record: object) -> None:
    with pytest.raises(DamagedRecord):
        check_readable(record)
