"""Numbers as people read them."""

from __future__ import annotations

import time

import pytest

from gitrun.model.listing import plural
from gitrun.ui.words import duration, local_time, size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1048575, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.004, "0.00 s"),
        (9.99, "9.99 s"),
        (12.34, "12.3 s"),
        (59.96, "1m 00s"),
        (192, "3m 12s"),
        (7500, "2h 05m"),
        (273600, "3d 4h"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_local_time() -> None:
    assert local_time("2026-11-24T06:12:46.9Z", time.gmtime) == "2026-11-24 06:12:46"
    assert local_time(None) == local_time("yesterday") == ""


def test_plural() -> None:
    assert (plural(1, "run"), plural(1200, "run")) == ("1 run", "1,200 runs")
