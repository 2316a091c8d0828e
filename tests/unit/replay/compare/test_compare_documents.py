"""Pictures, drawings, documents, notebooks: what a program writes about itself and the time says nothing."""

from __future__ import annotations

import json
import struct
import time
import zlib
from pathlib import Path

import pytest

from tests.unit.replay.compare.pairs import found, level

FILES = Path(__file__).parent / "files"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*texts: tuple[bytes, bytes], pixels: bytes = b"\0\1\2\3" * 9, level: int = 6, parts: int = 1) -> bytes:
    data = zlib.compress(pixels, level)
    cut = -(-len(data) // parts)
    pieces = b"".join(chunk(b"IDAT", data[at : at + cut]) for at in range(0, len(data), cut))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 9, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*each) for each in texts) + pieces + chunk(b"IEND", b"")


def test_times_and_programs_of_pictures_say_nothing() -> None:
    one = png((b"tEXt", b"Software\0matplotlib 3.10"))
    assert level("a.png", one, png((b"tEXt", b"Software\0matplotlib 3.11"))) == "semantic"
    assert level("a.png", one, png((b"tIME", b"\7\xea\1\2\3\4\5"))) == "semantic"
    assert level("a.png", one, png((b"iTXt", b"Creation Time\0\0\0\0\0now"))) == "semantic"
    assert level("a.png", png(), png(level=0)) == "semantic"
    assert level("a.png", png(), png(parts=3)) == "semantic"


def test_pixels_and_other_texts_of_pictures_count() -> None:
    assert level("a.png", png(), png(pixels=b"\0\1\2\4" * 9)) == "differs"
    assert level("a.png", png((b"tEXt", b"parameters\0a cat")), png((b"tEXt", b"parameters\0a dog"))) == "differs"
    assert level("a.png", png(), png((b"tEXt", b"Title\0x"))) == "differs"
    assert level("a.png", png(), png((b"gAMA", b"\0\0\0\1"))) == "differs"
    one = png((b"tIME", b"\7\xea\1\2\3\4\5"))
    assert level("a.png", png(), one + b"x") == "differs"
    assert level("a.png", png(), one[:-12]) == "differs"


def test_ids_of_a_drawing_are_numbered_and_not_forgotten() -> None:
    def drawing(first: str, second: str, used: str, text: str = "x", date: str = "2026-01-02T03:04:05.678") -> bytes:
        return (
            f'<svg xmlns="x"><metadata><dc:date>{date}</dc:date></metadata><path id="{first}"/><path id="{second}"/>'
            f'<use xlink:href="#{used}"/><g clip-path="url(#{first})"><!-- {text} --><text>{text}</text></g></svg>'
        ).encode()

    a, b, c, d = "m0123456789", "p0123456789", "mabcdef0123", "pabcdef0123"
    one = drawing(a, b, a)
    assert level("f.svg", one, drawing(c, d, c, date="2027-01-02T03:04:05")) == "semantic"
    assert level("f.svg", one, drawing(c, d, d)) == "differs"  # uses the other one
    assert level("f.svg", one, drawing(b, d, b)) == "differs"  # another letter
    assert level("f.svg", one, drawing(c, c, c)) == "differs"  # one id for two
    assert level("f.svg", one, drawing(c, d, "m9999999999")) == "differs"  # of nothing
    assert level("f.svg", drawing(a, b, a, 'id="m0000000000"'), drawing(a, b, a, 'id="m1111111111"')) == "differs"
    assert level("f.svg", drawing(a, b, a, "2026"), drawing(a, b, a, "2027")) == "differs"
    assert level("f.svg", one, drawing(c, d, c, date="soon")) == "differs"
    assert level("f.svg", one, one.replace(b"</svg>", b"<svg>")) == "differs"
    assert level("f.txt", one, drawing(c, d, c)) == "differs"


def test_a_date_elsewhere_in_a_document_counts() -> None:
    one = (FILES / "a.pdf").read_bytes()
    other = (FILES / "b.pdf").read_bytes()
    assert level("a.pdf", one, other) == "semantic"
    assert level("a.pdf", one, other.replace(b"/Creator (Matplotlib", b"/Creator (Natplotlib")) == "differs"
    assert level("a.pdf", one, other + b"%%EOF\n") == "differs"
    assert level("a.pdf", one, other.replace(b"/CreationDate (D:", b"/CreationDate [D:")) == "differs"
    begin = other.index(b"(D:") + 3
    nested = other[:begin] + b"(" + other[begin + 1 :]
    assert level("a.pdf", one, nested) == "differs"
    spoiled = other.replace(b"stream\n", b"stream\n/CreationDate (D:2026)", 1)
    assert level("a.pdf", spoiled.replace(b"D:2026)", b"D:2025)", 1), spoiled) == "differs"


@pytest.mark.parametrize("end", [b"\\", b"<", b"("])
def test_a_crowded_information_takes_no_time(end: bytes) -> None:
    crowded = []
    for name in ("a.pdf", "b.pdf"):
        data = (FILES / name).read_bytes()
        begin, behind = data.index(b"/Creator"), data.index(b"/CreationDate")
        names = (b"/Abcde " * behind)[: behind - begin - 1]
        crowded.append(data[:begin] + names + end + data[behind:])
    begun = time.monotonic()
    assert level("a.pdf", *crowded) == "differs"
    assert time.monotonic() - begun < 5


def notebook(
    count: int | None = 1, out: str = "1", cell_id: str = "aaaa", when: str = "12:00", **more: object
) -> bytes:
    timing = {"iopub.execute_input": when, "iopub.status.busy": when}
    output = {"output_type": "execute_result", "execution_count": count, "data": {"text/plain": [out]}, "metadata": {}}
    cell = {
        "cell_type": "code", "id": cell_id, "execution_count": count, "source": ["f()"], "outputs": [output],
        "metadata": {"execution": timing, **more},
    }  # fmt: skip
    papermill = {"papermill": {"duration": when, "start_time": when, "parameters": {}}}
    return json.dumps({"cells": [cell], "metadata": papermill, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_counters_ids_and_times_of_notebooks_say_nothing() -> None:
    one = notebook()
    assert level("a.ipynb", one, notebook(7)) == "semantic"
    assert level("a.ipynb", one, notebook(cell_id="bbbb", when="13:00")) == "semantic"


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (notebook(out="2"), "cell 1 differs in its outputs"),
        (notebook(None), "cell 1 differs in its execution_count"),
        (notebook(tags=["x"]), "cell 1 differs in its metadata"),
        (notebook().replace(b'"f()"', b'"g()"'), "cell 1 differs in its source"),
        (notebook().replace(b'"nbformat": 4', b'"nbformat": 4.0'), "the metadata of the notebook differ"),
        (notebook().replace(b'"parameters": {}', b'"parameters": {"lr": 1}'), "the metadata of the notebook differ"),
        (notebook().replace(b'"cells": [', b'"cells": [{}, '), "1 and 2 cells"),
    ],
)
def test_all_else_of_notebooks_counts(other: bytes, where: str) -> None:
    told = found("a.ipynb", notebook(), other)
    assert told.level.word == "differs" and told.detail == where


def test_a_notebook_that_is_none_is_text() -> None:
    for spoiled in (b"{", notebook()[:-1], notebook() + b"x", b'{"cells": 1}', b'{"a": ' * 100_000):
        assert level("a.ipynb", notebook(), spoiled) == "differs"
