"""Text from a record can neither forge a trailer nor drive a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitrun.archive.harmless import harmless


def test_plain_text_stays_as_it_is() -> None:
    assert harmless("python train.py --lr 0.1 ñ 日本") == "python train.py --lr 0.1 ñ 日本"


def test_controls_become_escapes() -> None:
    assert harmless("a\nb\tc\x1b[31m\x07\x9b") == r"a\nb\tc\e[31m\x07\x9b"


def test_direction_marks_and_line_separators_become_escapes() -> None:
    assert harmless("a\u202eb\u2028c\u2066") == r"a\u202eb\u2028c\u2066"


def test_bytes_that_are_not_utf8_are_shown_as_bytes() -> None:
    assert harmless(b"caf\xe9".decode("utf-8", "surrogateescape")) == r"caf\xe9"


@given(st.text(st.characters(), max_size=80), st.integers(1, 40))
def test_the_result_is_one_bounded_line_of_utf8(text: str, limit: int) -> None:
    safe = harmless(text, limit)
    assert len(safe) <= limit
    assert len(safe.splitlines()) <= 1
    assert "\x1b" not in safe
    safe.encode("utf-8")
