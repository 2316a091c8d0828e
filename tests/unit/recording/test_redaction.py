"""Secrets in output that came in pieces: replaced wherever the frames were cut, and nothing else changes."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.capture.secrets import Redactor
from gitrun.child.frames import frame, pack_value
from gitrun.recording.console import collect, read_stream
from gitrun.recording.redaction import LONGEST_BYTES, Redaction, attributed, redacted
from gitrun.recording.spool import HEAD, Spool

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


@pytest.mark.parametrize(
    "printed",
    [
        json.dumps({"a": 'say "correct\\horse"/1'}).encode(),
        b"https://h/?a=say%20%22correct%5Chorse%22%2F1&b=2",
        b"Basic " + base64.b64encode(b'user:say "correct\\horse"/1'),
        base64.encodebytes(b'say "correct\\horse"/1' * 9),
    ],
)
def test_each_form_of_a_secret_is_replaced_wherever_it_is_cut(printed: bytes) -> None:
    times = 9 if printed.endswith(b"\n") else 1
    known = Redactor({"MY_SECRET": 'say "correct\\horse"/1' * times})
    text = b"before " + printed.rstrip(b"\n") + b"\nafter\n"
    assert known.text(text).count(b"<secret:MY_SECRET.") == 1
    for at in range(len(text) + 1):
        done = list(redacted(cut(text, at), known.text, known.values))
        assert b"".join(data for _, _, data in done) == known.text(text)


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
def test_long_output_is_cut_where_it_changes_nothing(planted: bytes) -> None:
    line = b"epoch 12 loss 0.345\n"
    text = line * 5000 + planted + b"\n-----END PRIVATE KEY-----\n" + line * 7000
    done = list(redacted(cut(text, *range(8191, len(text), 8191)), redact))
    assert b"".join(data for _, _, data in done) == redact(text)
    assert len(done) <= 2 * len(text) / 8191 + 4  # a piece ends where its last line does


@pytest.mark.parametrize("size", [100, 5000, 1 << 18])
@pytest.mark.parametrize("text", [b"x" * 700_000, b"ab " * 200_000, bytes(range(256)) * 2000, (TOKEN + b" ") * 9000])
def test_without_a_line_that_ends_a_bounded_tail_is_held_back(text: bytes, size: int) -> None:
    redaction = Redaction(redact)
    done = given = 0
    for n, at in enumerate(range(0, len(text), size)):
        given += len(text[at : at + size])
        done += sum(len(data) for _, _, data in redaction.feed((1, n, text[at : at + size])))
        if TOKEN not in text:
            assert given - done <= 2 * LONGEST_BYTES
    rest = b"".join(data for _, _, data in redaction.finish())
    assert TOKEN not in rest and (TOKEN in text or done + len(rest) == len(text))


def held_back(*texts: bytes, values: tuple[bytes, ...] = ()) -> bytes:
    redaction = Redaction(redact, values)
    for n, text in enumerate(texts):
        redaction.feed((1, n, text))
    return b"".join(data for _, _, data in redaction.finish())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"done\n", b""),
        (b"done\r\n", b""),
        (b"can't be\nsaid\n", b""),
        (b"progress\r 45%", b" 45%"),
        (b"the rest\npassword:\n", b"password:\n"),
        (b"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n", b"<secret:private-key>"),
        (b"-----BEGIN CERTIFICATE-----\nMIIE\n", b""),
        (b"first line\n", b"first line\n"),
    ],
)
def test_only_what_may_go_on_is_held_back(text: bytes, expected: bytes) -> None:
    assert held_back(text, values=(b"first line\nsecond line",)) == expected


def test_a_secret_of_several_lines_is_replaced_wherever_it_is_cut() -> None:
    value = "first line\nsecond line\nthird"
    known = Redactor({"MY_SECRET": value})
    for text in (
        f"it is {value}!\nend\n".encode(),
        b'{"password": "one\ntwo\n3"}\n',
        b"token:\n  a1b2c3d4e5f6g7h8i9\n",
    ):
        for at in range(len(text) + 1):
            done = redacted(cut(text, at), known.text, known.values)
            assert b"".join(data for _, _, data in done) == known.text(text)


def test_an_unfinished_line_keeps_the_other_stream_waiting_but_not_for_ever() -> None:
    redaction = Redaction(redact)
    assert redaction.feed((1, 1, b"name: ")) == redaction.feed((2, 2, b"note\n")) == []
    assert redaction.feed((1, 3, b"x\n")) == [(1, 1, b"name: "), (2, 2, b"note\n"), (1, 3, b"x\n")]
    assert redaction.feed((1, 4, b"...")) == []
    count = next(n for n in range(10_000) if redaction.feed((2, 5, b"a line of text\n")))
    assert count <= 2 * LONGEST_BYTES / 15 + 1
    assert redaction.finish() == [(1, 4, b"...")]


def test_before_a_gap_nothing_is_given_that_may_be_half_a_secret() -> None:
    redaction = Redaction(redact)
    redaction.feed((1, 1, b"login " + TOKEN[:12]))
    assert redaction.drop() == ([], 18)
    assert redaction.feed((1, 2, b"next\n")) == [(1, 2, b"next\n")]


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


def test_a_spool_that_does_not_say_that_it_is_redacted_is_redacted_when_sealed(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1 << 20, 0)
    for n, data in enumerate((b"login " + TOKEN[:12], TOKEN[12:], b"\ndone\n")):
        spool.write(1, n, data)
    spool.close()
    assert [data for _, _, data in read_stream(b"".join(collect(str(tmp_path), redact)))][1] == TOKEN[12:]
    console = tmp_path / "console"
    plain = frame(pack_value({"format": 1, "kind": "console", "requires": []}))
    console.write_bytes(plain + console.read_bytes()[len(HEAD) :])
    frames = list(read_stream(b"".join(collect(str(tmp_path), redact))))
    assert frames == [(1, 0, b"login <secret:huggingface-token>"), (1, 2, b"\ndone\n")]
