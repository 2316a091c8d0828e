"""A line is added to somebody else's function, and nothing else about it changes."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.child.frameworks import splice

SOURCE = '''"""A module."""
from os import path
import json


def double(number, *, times=(
    2)
):
    """Text
over lines."""
    if path.exists(json.dumps(number)):
        return None
    number = [number for _ in range(times)]
    return sum(
        number)


class Home:
    def method(self, words=None):
        words = list(words or ())
        try:
            return self.fail(words) if words else ("none", words)
        except KeyError:
            return "caught"

    def fail(self, words):
        if words == ["key"]:
            raise KeyError(words)
        raise ValueError(words)
'''


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "spliced.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("spliced", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["spliced"] = found
    spec.loader.exec_module(found)
    yield found
    del sys.modules["spliced"]


def test_each_place(module: Any) -> None:
    seen: list[Any] = []
    splice.at_start(module.double, lambda *given: seen.append(("start", *given)), ("number", "times"))
    assert module.double(4) == 8 and seen == [("start", 4, 2)]


def test_after_an_assignment(module: Any) -> None:
    seen: list[Any] = []
    splice.after(module.double, lambda *given: seen.append(given), ("number",), "number")
    assert module.double(4, times=3) == 12 and seen == [([4, 4, 4],)]


def test_at_each_return_with_what_a_parameter_was(module: Any) -> None:
    seen: list[Any] = []

    def returned(value: Any, *given: Any) -> Any:
        seen.append((value, *given[1:]))
        return value

    splice.at_return(module.Home.method, returned, ("self",), "words")
    assert module.Home().method() == ("none", []) and module.Home().method(("key",)) == "caught"
    assert seen == [(("none", []), None), ("caught", ("key",))]


def test_nothing_but_the_line_is_another(module: Any) -> None:
    def described() -> tuple[Any, ...]:
        function = module.Home.method
        try:
            module.Home().method(["other"])
        except ValueError:
            told = traceback.format_exc()
        return function, inspect.signature(function), inspect.getsource(function), told

    before, names = described(), set(vars(module))
    splice.at_return(module.Home.method, lambda value, *given: value, ("self",), "words")
    assert described() == before and set(vars(module)) == names


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("number)", "number) + 1"), lambda text: "\n" + text, lambda text: ""]
)
def test_a_function_whose_source_is_another_is_left_alone(module: Any, change: Any) -> None:
    Path(module.__file__).write_text(change(SOURCE))
    code = module.double.__code__
    with pytest.raises(splice.NotFound):
        splice.at_start(module.double, print, ())
    assert module.double.__code__ is code and module.double(4) == 8


def test_without_source_or_the_statement(module: Any) -> None:
    with pytest.raises(splice.NotFound, match="assigns"):
        splice.after(module.double, print, (), "absent")
    Path(module.__file__).unlink()
    with pytest.raises(splice.NotFound, match="no source"):
        splice.at_start(module.double, print, ())
