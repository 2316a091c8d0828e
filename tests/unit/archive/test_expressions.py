"""What an expression means, and what is said of one that means nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.archive.expressions import parse
from gitrun.archive.keys import Key, parse_keys
from gitrun.archive.literals import as_time
from gitrun.errors import ExpressionError
from gitrun.model.times import iso

NOW_S = 1_780_000_000.0
DAY_S = 86_400
COLUMNS: dict[str, dict[str, Any]] = {
    "status": {"a": "completed", "b": "failed", "c": "completed", "d": "running"},
    "name": {"a": "sweep-1", "b": "sweep-2", "c": "7"},
    "tag": {"a": ["best", "paper"], "b": [], "c": ["paper"], "d": []},
    "started": {run: iso(int((NOW_S - days * DAY_S) * 1e9)) for run, days in {"a": 1, "b": 3, "c": 9, "d": 0}.items()},
    "duration": {"a": 30.0, "b": 7200.0, "c": 7200.5},
    "dirty": {"a": True, "b": False},
    "metrics.loss": {"a": 0.05, "b": 0.5, "c": float("nan")},
    "metrics.val loss": {"a": 1.0},
    "config.lr": {"a": 0.01, "b": 0.1, "c": 0.01},
    "config.deep": {"a": True, "b": None, "c": "true"},
    "config.layers": {"a": [64, 32], "b": [16]},
    "config.n": {"a": 2**60, "b": 10, "c": "10"},
}


def select(text: str, now_s: float = NOW_S) -> str:
    """The runs that meet it, as one word."""
    condition = parse(text, now_s)
    column = lambda key: {**COLUMNS, "min:metrics.loss": {"b": 0.1}}[str(key).replace("'", "")]  # noqa: E731
    return "".join(sorted(condition.among(frozenset("abcd"), column)))


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("status == completed", "ac"),
        ("status == 'completed'", "ac"),
        ("status != completed", "bd"),
        ("metrics.loss < 0.1", "a"),
        ("metrics.loss >= 0.05", "ab"),
        ("metrics.'val loss' == 1", "a"),
        ('metrics."val loss" == 1.0', "a"),
        ("min:metrics.loss < 0.2", "b"),
        ("config.lr == 1e-2", "ac"),
        ("config.lr == '0.01'", ""),  # text is no number
        ("config.n == 10", "bc"),  # a word without quotes is both
        ("config.n == '10'", "c"),
        ("config.n == 1152921504606846976", "a"),
        ("config.n == " + "9" * 399, ""),  # no float is as large
        ("config.n != 10", "a"),
        ("name == 7", "c"),
        ("name ~ 'sweep-*'", "ab"),
        ("tag == best", "a"),
        ("tag != best", "bcd"),
        ("tag", "ac"),
        ("not tag", "bd"),
        ("dirty", "a"),
        ("not dirty", "bcd"),
        ("dirty == false", "b"),
        ("config.deep == true", "ac"),
        ("config.deep == 'true'", "c"),
        ("config.deep == null", "b"),
        ("config.layers == 64", "a"),
        ("config.layers != 64", "b"),
        ("duration > 2h", "c"),
        ("duration <= 30s", "a"),
        ("duration < 31", "a"),
        ("started > -2d", "ad"),
        ("started <= -7d", "c"),
        ("metrics.loss == nan", "c"),
        ("metrics.loss != nan", "ab"),
        ("metrics.loss < 0.1 or status == running", "ad"),
        ("status == completed and config.lr == 0.01 and tag == best", "a"),
        ("status == failed or status == completed and tag == best", "ab"),  # `and` binds more closely
        ("(status == failed or status == completed) and tag == best", "a"),
        ("not (config.lr == 0.01)", "bd"),
        ("config.lr != 0.01", "b"),  # a run without the key meets no comparison
        ("not not tag == best", "a"),
        ("status==failed", "b"),
        ("status == failed AND name", "b"),
    ],
)
def test_means(text: str, runs: str) -> None:
    assert select(text) == runs


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "here goes a key"),
        ("status ==", 9, "here goes a value"),
        ("status = failed", 7, "to compare, write =="),
        ("status ! failed", 7, "to compare, write =="),
        ("status == failed name", 17, "here goes and, or, or the end"),
        ("(status == failed", 0, "never closed"),
        ("status == failed)", 16, "not opened"),
        ("name == 'x", 8, "quote"),
        ("and status", 0, "here goes a key"),
        ("status == failed and", 20, "here goes a key"),
        ("== 3", 0, "here goes a key"),
        ("started > yesterday", 10, "a time is written"),
        ("started == 2026-11-24", 11, "compared with"),
        ("started > 2026-13-01", 10, "a time is written"),
        ("status == a,b", 11, "here goes and, or"),
        ("(" * 60 + "tag" + ")" * 60, 50, "nested"),
        ("x" * 20_000, 0, "at most"),
    ],
)
def test_an_error_points_at_its_place(text: str, at: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as raised:
        parse(text, NOW_S)
    assert raised.value.at == at
    assert raised.value.exit_code == 2


@given(st.text(alphabet=st.sampled_from("ab.'\"()<>=!~ \\andornot1-,\n\x00é"), max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parse(text, NOW_S)
    except ExpressionError as problem:
        assert 0 <= problem.at <= len(text)


@given(st.text(min_size=1, max_size=30), st.sampled_from(["metrics", "config", "summary"]))
def test_a_key_is_read_back_as_it_is_written(name: str, space: str) -> None:
    key = Key(f"{space}.{name}")
    assert [found._replace(at=0) for found in parse_keys(str(key))] == [key]


def test_keys_in_a_list() -> None:
    found = [str(key) for key in parse_keys("started_at, config.lr,min:metrics.'a,b'")]
    assert found == ["started", "config.lr", "min:metrics.'a,b'"]
    for text in ("", "a,", ",a", "a b", "a == b"):
        with pytest.raises(ExpressionError):
            parse_keys(text)


def test_times_are_local_unless_they_say_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")  # two hours east
    time.tzset()
    try:
        assert as_time("2026-11-24", NOW_S) == "2026-11-23T22:00:00.000000Z"
        assert as_time("2026-11-24 06:12", NOW_S) == "2026-11-24T04:12:00.000000Z"
        assert as_time("2026-11-24T06:12:30Z", NOW_S) == "2026-11-24T06:12:30.000000Z"
    finally:
        monkeypatch.undo()
        time.tzset()
