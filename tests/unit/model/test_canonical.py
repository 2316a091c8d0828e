"""The written form of every odd value, byte for byte, and what is refused on the way back."""

from __future__ import annotations

import pytest

from gitrun.model.canonical import DecodeProblem, decode, decode_lines, encode, encode_line, path_bytes, path_text

FORMS = [
    (None, b"null\n"),
    (2**53, b"9007199254740992\n"),
    (2**53 + 1, b'{"$int":"9007199254740993"}\n'),
    (float("inf"), b'{"$float":"inf"}\n'),
    (0.1, b"0.1\n"),
    ("é", '"é"\n'.encode()),
    (path_text(b"\xff"), b'{"$bytes":"/w=="}\n'),
    ({"b": 1, "a": [1, 2]}, b'{"a":[1,2],"b":1}\n'),
    ({"$int": "7"}, b'{"$object":{"$int":"7"}}\n'),
]


@pytest.mark.parametrize(("value", "line"), FORMS)
def test_one_written_form(value: object, line: bytes) -> None:
    assert encode_line(value) == line
    assert decode(line) == value
    assert decode(encode(value)) == value


def test_nan_is_kept() -> None:
    assert encode_line(float("nan")) == b'{"$float":"nan"}\n'
    value = decode(b'{"$float":"nan"}')
    assert value != value


def test_bytes_come_back_as_the_path_they_are() -> None:
    assert path_bytes(decode(encode(b"caf\xe9"))) == b"caf\xe9"


def test_the_indented_form_is_for_people() -> None:
    assert encode({"a": {"b": 1}}) == b'{\n "a": {\n  "b": 1\n }\n}\n'


def test_lines() -> None:
    assert decode_lines(b'{"a":1}\n[2]\n') == [{"a": 1}, [2]]
    assert decode_lines(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"\xff",
        b'"\\ud800"',
        b'{"$bytes":"?"}',
        b'{"$bytes":7}',
        b'{"$float":"1e3"}',
        b'{"$int":"x"}',
        b'{"$new":1}',
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeProblem):
        decode(data)


def test_bounds() -> None:
    with pytest.raises(DecodeProblem, match="more than"):
        decode(b"[1,2,3]", limit=3)
    with pytest.raises(DecodeProblem, match="more than"):
        decode_lines(b"1\n2\n", limit=3)
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(DecodeProblem, match="deep"):
        encode(deep)


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {1, 2}}])
def test_a_record_holds_plain_values_only(value: object) -> None:
    with pytest.raises(TypeError, match="record"):
        encode(value)
