import os
from pathlib import Path

import pytest

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.files.locks import held_by_other
from gitrun.store.sessions import Promises, SessionFile, decode_session, encode_header, encode_promises, read_session

A, B = "a" * 64, "b" * 64


def test_promises_are_readable_while_the_session_lasts(tmp_path: Path) -> None:
    session = SessionFile(str(tmp_path))
    assert not os.path.exists(tmp_path / "sessions")
    session.publish("blob", [A, B])
    session.publish("pack", [A])
    found = read_session(session.path)
    assert (found.blobs, found.packs) == ([A, B], [A])
    assert found.header["process"]["pid"] == os.getpid() and found.header["process"]["start"] > 0
    assert found.header["session"] == session.name
    assert all(found.header[name] for name in ("host", "host_id", "boot_id", "pid_namespace", "started_at"))
    assert held_by_other(session.path)
    session.end()
    assert os.listdir(tmp_path / "sessions") == []
    session.end()


def test_a_session_without_promises_leaves_no_trace(tmp_path: Path) -> None:
    SessionFile(str(tmp_path)).end()
    assert not (tmp_path / "sessions").exists()


def test_a_torn_last_line_counts_for_nothing() -> None:
    whole = encode_header({"session": "x"}) + encode_promises("blob", [A])
    torn = encode_promises("pack", [B])
    for end in range(len(torn)):
        found = decode_session(whole + torn[:end], "s")
        assert (found.blobs, found.packs) == ([A], [])
    for end in range(len(encode_header({}))):
        assert decode_session(encode_header({})[:end], "s") == Promises({}, [], [])


@pytest.mark.parametrize(
    "line", [b"blob xyz\n", b"\n", b"tree " + A.encode() + b"\n", b"blob " + A.upper().encode() + b"\n"]
)
def test_a_line_that_is_no_promise_is_damage(line: bytes) -> None:
    with pytest.raises(DamagedStore, match="E030"):
        decode_session(encode_header({}) + line, "s")


def test_headers_that_cannot_be_understood() -> None:
    for first in (b"{\n", b"[]\n", b"{}\n"):
        with pytest.raises(DamagedStore, match="E030"):
            decode_session(first, "s")
    for change in ({"format": 2}, {"requires": ["x"]}):
        with pytest.raises(NewerFormat):
            decode_session(encode_header(change), "s")
