"""Names that a run's processes see, and what they mean here."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.capture.places import Places, read_places, write_places
from gitrun.capture.process import stdin_digest, stdin_file, timezone

PLACES = Places([(b"/w", b"/copy"), (b"/w/.venv", b"/w/.venv")])


@pytest.mark.parametrize(
    ("word", "real"),
    [
        (b"/w", b"/copy"),
        (b"/w/a", b"/copy/a"),
        (b"/w/.venv/bin/python", b"/w/.venv/bin/python"),
        (b"/wide", b"/wide"),
        (b"w/a", b"w/a"),
        (b"--config=/w/c.yaml", b"--config=/copy/c.yaml"),
        (b"key=w", b"key=w"),
    ],
)
def test_the_longest_name_that_fits_counts(word: bytes, real: bytes) -> None:
    assert PLACES.real_word(word) == real
    assert Places().real_word(word) == word


def test_a_relative_path_is_seen_from_the_directory_a_process_stands_in() -> None:
    places = Places([(b"/w", b"/home/.git/r/w"), (b"/w/.venv", b"/cache/env"), (b"/archive", b"/home/.git")])
    assert places.real_from(b"/home/.git/r/w/sub", b"../.venv/bin/python") == b"/cache/env/bin/python"
    assert places.real_from(b"/home/.git/r/w", b"a/b") == b"/home/.git/r/w/a/b"
    assert places.real_from(b"/elsewhere", b"a/b") == b"/elsewhere/a/b"


def test_they_are_kept_with_the_member(tmp_path: Path) -> None:
    write_places(str(tmp_path), [("/w", "/c\udcff")])
    assert read_places(str(tmp_path)).real(b"/w/x") == b"/c\xff/x"
    assert read_places(str(tmp_path)).real_list("/w/bin:/bin") == "/c\udcff/bin:/bin"
    for content in ("", "[1]", '{"a": 1}', '[["/w"]]'):
        (tmp_path / "places").write_text(content)
        assert read_places(str(tmp_path)).real(b"/w/x") == b"/w/x"


def test_a_time_zone_is_what_tz_or_the_systems_link_says(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    assert timezone({}, str(link)) is None
    link.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert timezone({}, str(link)) == "Asia/Tokyo"
    assert timezone({"TZ": "UTC"}, str(link)) == "UTC"


def test_standard_input_is_told_where_it_is_a_file_with_a_name(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(b"abc")
    with given.open("rb", buffering=0) as file:
        file.read(2)
        assert stdin_file(bytes(tmp_path), file.fileno()) == {"path": "given", "position": 2}
        known = stdin_digest(file.fileno())
        assert known is not None and known.startswith("ba7816bf")
        given.unlink()
        assert stdin_file(None, file.fileno()) is None
    with open("/dev/null", "rb") as file:
        assert stdin_file(None, file.fileno()) is None
