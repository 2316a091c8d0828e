"""Secrets in output that came in pieces: replaced wherever the frames were cut, and nothing else changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.capture.secrets import Redactor
from gitrun.recording.console import Spool, collect, read_stream
from gitrun.recording.redaction import BLOCK_BYTES, attributed, redacted

TOKEN = b"hf_" + b"aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
KNOWN = b"correct horse battery"
redact = Redactor({"MY_SECRET": KNOWN.decode()}).text


def cut(text: bytes, *places: int) -> list[tuple[int, int, bytes]]:
    edges = [0, *places, len(text)]
    return [(1, n, text[a:b]) for n, (a, b) in enumerate(pairwise(edges))]


@pytest.mark.parametrize("secret", [TOKEN, KNOWN])
def test_a_secret_is_replaced_wherever_it_is_cut(secret: bytes) -> None:
    text = b"before " + secret + b" after\n"
    for at in range(len(text) + 1):
        done = list(redacted(cut(text, at), redact))
        assert b"".join(data for _, _, data in done) == redact(text)
        if 7 < at < 7 + len(secret):
            assert done[0][2].endswith(b">") and done[1] == (1, 1, text[max(at, 7 + len(secret)) :])


def test_a_secret_written_byte_by_byte() -> None:
    text = b"x " + TOKEN + b" y"
    done = list(redacted(cut(text, *range(1, len(text))), redact))
    assert [data for _, _, data in done] == [b"x", b" ", b"<secret:huggingface-token>", b" ", b"y"]


def test_streams_are_judged_apart_and_keep_their_order() -> None:
    outputs = [
        (1, 1, b"a " + TOKEN[:9]),
        (2, 2, b"b " + TOKEN[:20]),
        (1, 3, TOKEN[9:] + b" c"),
        (2, 4, TOKEN[20:] + b" d"),
    ]
    hole = b"<secret:huggingface-token>"
    assert list(redacted(outputs, redact)) == [(1, 1, b"a " + hole), (2, 2, b"b " + hole), (1, 3, b" c"), (2, 4, b" d")]


@pytest.mark.parametrize("planted", [b"plain words", TOKEN, b"-----BEGIN PRIVATE KEY-----\n" + b"MIIE\n" * 2000])
def test_blocks_are_cut_where_it_changes_nothing(planted: bytes) -> None:
    line = b"epoch 12 loss 0.345\n"
    text = line * (BLOCK_BYTES // len(line) - 3) + planted + b"\n-----END PRIVATE KEY-----\n" + line * 70_000
    done = list(redacted(cut(text, *range(8191, len(text), 8191)), redact))
    assert b"".join(data for _, _, data in done) == redact(text)
    assert len(done) == pytest.approx(len(text) / 8191, abs=4)


@given(
    st.lists(st.sampled_from([TOKEN, KNOWN, b" ", b"token=", b"x", b"\n", b"https://u:p4ss@h ", b"<secret:x>"])),
    st.lists(st.integers(0, 300)),
)
def test_nothing_is_lost_between_the_pieces(words: list[bytes], places: list[int]) -> None:
    text = b"".join(words)
    frames = [data for _, _, data in cut(text, *sorted(min(place, len(text)) for place in places))]
    plain = redact(text)
    pieces = attributed(frames, plain)
    assert len(pieces) == len(frames) and b"".join(pieces) == plain
    if plain == text and b"<secret" not in text:
        assert pieces == frames


def test_the_sealed_console_holds_no_secret_that_two_writes_made(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1 << 20, 0)
    for n, data in enumerate((b"login " + TOKEN[:12], TOKEN[12:], b"\ndone\n")):
        spool.write(1, n, data)
    spool.close()
    frames = list(read_stream(b"".join(collect(str(tmp_path), redact))))
    assert frames == [(1, 0, b"login <secret:huggingface-token>"), (1, 2, b"\ndone\n")]
