"""RECORD as every room reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.capture import record_file
from gitrun.capture.ownership import Owners
from gitrun.capture.record_file import BadRecord, canonical_record, is_bookkeeping, name_of, read_record, rows_of


def test_rows_of_every_form() -> None:
    record = b'a.py,sha256=x,1\r\n"b, c ""d"".py",,\njunk\n\none,comma\n'
    assert rows_of(record) == [
        [b"a.py", b"sha256=x", b"1"], [b'b, c "d".py', b"", b""], [b"", b"", b"junk"], [b"", b"", b""],
        [b"", b"", b"comma"],
    ]  # fmt: skip
    assert rows_of(b"caf\xe9.py,,\n") == [[b"caf\xe9.py", b"", b""]]
    assert rows_of('"a\u2028\x1c,b.py",,\n'.encode()) == [["a\u2028\x1c,b.py".encode(), b"", b""]], "no line ends there"
    with pytest.raises(BadRecord):
        rows_of(b'"never closed,,\n')


@pytest.mark.parametrize(
    ("path", "anybodys", "its_own"),
    [
        ("a-1.dist-info/RECORD", True, True),
        ("a-1.dist-info/uv_cache.json", True, True),
        ("a/_vendor/b-2.dist-info/INSTALLER", True, False),
        ("a-1.dist-info/METADATA", False, False),
        ("a-1.dist-info/licenses/RECORD", False, False),
        ("a/RECORD", False, False),
        ("RECORD", False, False),
    ],
)
def test_what_installers_write_themselves(path: str, anybodys: bool, its_own: bool) -> None:
    assert is_bookkeeping(path.encode()) is anybodys
    assert is_bookkeeping(path.encode(), b"a-1.dist-info") is its_own


def test_bookkeeping_and_its_copy_in_another_package_are_no_content() -> None:
    alone = b"a.py,sha256=x,1\na-1.dist-info/METADATA,sha256=y,2\n"
    more = (
        b"a-1.dist-info/RECORD,,\na/_vendor/b-2.dist-info/RECORD,sha256=z,3\na-1.dist-info/uv_build.json,sha256=q,4\n"
    )
    assert canonical_record(alone + more) == canonical_record(alone)
    assert canonical_record(alone + b"a-1.dist-info/licenses/RECORD,sha256=z,3\n") != canonical_record(alone)


def test_why_there_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "a-1.dist-info"
    directory.mkdir()
    with pytest.raises(BadRecord, match="No such file"):
        read_record(os.fsencode(directory))
    (directory / "RECORD").mkdir()
    with pytest.raises(BadRecord, match="directory"):
        read_record(os.fsencode(directory))
    (directory / "RECORD").rmdir()
    os.mkfifo(directory / "RECORD")
    assert read_record(os.fsencode(directory)) == b"", "a pipe is waited for by nobody"
    (directory / "RECORD").unlink()
    (directory / "RECORD").write_bytes(b"a.py,,\n")
    monkeypatch.setattr(record_file, "MAX_RECORD_BYTES", 3)
    with pytest.raises(BadRecord, match="larger than 3 bytes"):
        read_record(os.fsencode(directory))


def test_a_line_that_is_no_row_does_not_make_a_distribution_own_all(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    (site / "alpha-1.dist-info").mkdir(parents=True)
    (site / "alpha-1.dist-info/RECORD").write_bytes(b"alpha/a.py,,\njunk\n\n")
    owner = Owners().below([os.fsencode(site)])
    assert owner(os.fsencode(site / "alpha/a.py")) == "alpha" and owner(os.fsencode(site / "alpha/b.py")) is None


def test_the_name_of_a_metadata_directory() -> None:
    names = (b"Two_Words-1.0.dist-info", b"old.thing-2-py3.11.egg-info", b"bare.dist-info")
    assert [name_of(name) for name in names] == ["two-words", "old-thing", "bare"]
