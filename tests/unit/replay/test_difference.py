"""Values of any shape are compared key by key."""

from __future__ import annotations

from gitrun.replay.difference import Difference, differences


def test_nested_values_by_dotted_key() -> None:
    a = {"lr": 0.1, "model": {"depth": 3, "width": 8}}
    b = {"lr": 0.1, "model": {"depth": 4, "width": 8}, "seed": 1}
    assert differences(a, b) == [Difference("model.depth", 3, 4), Difference("seed", None, 1)]


def test_named_things_by_name() -> None:
    a = {"distributions": [{"name": "numpy", "version": "1"}, {"name": "torch", "version": "2"}]}
    b = {"distributions": [{"name": "aiohttp", "version": "3"}, {"name": "numpy", "version": "1"}]}
    assert [found.key for found in differences(a, b)] == [
        "distributions.aiohttp.version",
        "distributions.torch.version",
    ]


def test_nan_equals_itself_and_types_count() -> None:
    nan = float("nan")
    assert differences({"a": nan}, {"a": nan}) == []
    assert differences({"a": 1}, {"a": True}) == [Difference("a", 1, True)]
    assert differences(None, {}) == differences({"a": None}, {}) == []
