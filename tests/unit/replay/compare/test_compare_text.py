"""Text: tables and JSON by their numbers, all else by its first line that differs."""

from __future__ import annotations

import json

import pytest

from gitrun.replay.compare import Tolerance
from tests.unit.replay.compare.pairs import found, level


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ("0.5", "0.5000001", "tolerance"),
        ("0.5", "0.6", "differs"),
        ("1e-05", "1.0000001e-05", "tolerance"),
        ("5", "6", "differs"),  # a count
        ("5", "5.0", "differs"),
        ("0.5", "0.50", "differs"),  # another spelling of the same number
        ("1234567e8", "1234568e8", "differs"),  # a hash
        ("007.5", "007.5000001", "differs"),
        ("1.5", "", "differs"),
        ("1.5", "nan", "differs"),
        ("nan", "inf", "differs"),
        ("9.5e+999", "9.6e+999", "differs"),
        ('"1.5"', '"1.5000001"', "differs"),  # a text
        (" 0.5", " 0.5000001", "tolerance"),
        (" 0.5", "  0.5000001", "differs"),
        ("0.5", "0.5000001;", "differs"),
        ("2026-11-24", "2026-11-25", "differs"),
        ("0.5s", "0.5000001s", "differs"),
    ],
)
def test_a_field_of_a_table(a: str, b: str, word: str) -> None:
    table = "epoch,loss\n1,{},x\n2,0.25,y\n"
    assert level("out/t.csv", table.format(a).encode(), table.format(b).encode()) == word


def test_a_table_tells_where() -> None:
    told = found("t.csv", b"i,loss\n0,0.5\n1,0.25\n", b"i,loss\n0,0.5\n1,0.75\n")
    assert told.first == "line 3, column 'loss'"
    assert told.detail.startswith("0.25 against 0.75 at line 3, column 'loss'; max |Δ| 0.5")
    assert "of 2 values" in told.detail
    told = found("t.csv", b"i,loss\n0,0.5\n", b"i,loss\n0,0.5\n1,0.25\n")
    assert told.level.word == "differs" and told.first == "line 3"


def test_a_text_over_several_lines_is_exact() -> None:
    a = b'x,note\n1,"said\n0.5,0.5\n"\n'
    assert level("t.csv", a, a.replace(b"0.5,0.5", b"0.5,0.5000001")) == "differs"
    assert level("t.csv", a + b"2.5,x\n", a + b"2.5000001,x\n") == "tolerance"


def test_line_ends_and_separators_count() -> None:
    assert level("t.csv", b"a,b\n1.5,2\n", b"a,b\r\n1.5,2\r\n") == "differs"
    assert level("t.csv", b"a,b\n1.5,2\n", b"a,b\n1.5000001;2\n") == "differs"
    assert level("t.csv", b"a,b\n1.5,2\n", b"a,b\n1.5000001,2") == "differs"
    assert level("t.tsv", b"a\tb\r\n1.5\t2\r\n", b"a\tb\r\n1.5000001\t2\r\n") == "tolerance"


def test_json_values() -> None:
    value = {"acc": 0.5, "n": 3, "v": "1.5", "k": [1.25, None, True], "nested": {"x": 1e-7}}

    def other(**changes: object) -> bytes:
        return json.dumps({**value, **changes}, indent=1).encode()

    same = other()
    assert level("m.json", same, other(acc=0.50000001)) == "tolerance"
    assert level("m.json", same, other(k=[1.25000001, None, True])) == "tolerance"
    for changes in ({"n": 4}, {"v": "1.5000001"}, {"k": [1.25, None, False]}, {"acc": 0}, {"acc": "0.5"}, {"z": 1}):
        assert level("m.json", same, other(**changes)) == "differs"
    assert level("m.json", same, json.dumps(value).encode()) == "differs"
    assert level("m.json", b'{"1.5": 1}', b'{"1.5000001": 1}') == "differs"
    assert level("m.json", b'{"a": NaN}', b'{"a": 1.5}') == "differs"
    assert level("m.json", b'{"a": "x 1.5', b'{"a": "x 1.5000001') == "differs"
    assert level("m.json", b'{"a": "\\" 1.5"}', b'{"a": "\\" 1.5000001"}') == "differs"
    assert found("m.json", same, other(acc=0.75)).first == "line 2, after 'acc'"


def test_json_lines() -> None:
    lines = [json.dumps({"step": step, "loss": 1 / (step + 1)}).encode() for step in range(100)]
    moved = [json.dumps({"step": step, "loss": 1 / (step + 1) + 1e-9}).encode() for step in range(100)]
    assert level("log.jsonl", b"\n".join(lines), b"\n".join(moved)) == "tolerance"
    assert level("log.jsonl", b"\n".join(lines), b"\n".join(moved[:-1])) == "differs"


def test_tables_of_numbers_in_text() -> None:
    a = b"# loss\n1.500000000000000000e+00 2\n nan 0.5\n"
    assert level("w.txt", a, a.replace(b"1.5000", b"1.500000001")) == "tolerance"
    assert level("w.txt", a, a.replace(b" 2", b" 3")) == "differs"
    assert level("log.txt", b"loss 0.5\n", b"loss 0.5000001\n") == "differs"
    assert level("log.log", b"0.5\n", b"0.5000001\n") == "differs"


def test_no_tolerance_is_no_tolerance() -> None:
    assert level("t.csv", b"0.1\n", b"0.10000000000000001\n", Tolerance(0, 0)) == "differs"
    assert level("t.csv", b"0.1\n", b"0.1000000001\n", Tolerance(0, 0)) == "differs"


def test_other_text_shows_its_first_line_that_differs() -> None:
    told = found("a.log", b"one\ntwo\nthree\n", b"one\ntwO\nthree\n")
    assert told == (0, "line 2: 'two' against 'twO'", "line 2")
    told = found("a.log", b"one\n\x1b[2Jtwo\n", b"one\n\x1b[2Jtwo!\n")
    assert "\x1b" not in told.detail
    told = found("a.log", b"same " * 200 + b"x\n", b"same " * 200 + b"y\n")
    assert len(told.detail) < 250 and "x'" in told.detail and "y'" in told.detail
    assert found("a.log", b"one\n", b"one\ntwo\n").detail == "line 2: the end against 'two'"
    long = b"".join(b"%d\n" % number for number in range(300_000))
    assert found("a.log", long, long[:-2] + b"x\n").first == "line 300000"


def test_other_bytes_show_the_first_that_differs() -> None:
    told = found("a.bin", b"\0" * 3_000_000 + b"\1", b"\0" * 3_000_000 + b"\2")
    assert told.detail == "the first difference is at byte 3000000" and told.first == "byte 3000000"
    assert found("a.bin", b"\0\1", b"\0").detail == "the same up to byte 1, where one ends (2 and 1 bytes)"
    assert level("a.bin", b"", b"") == "bit"
    assert level("a.bin", b"", b"x") == "differs"
