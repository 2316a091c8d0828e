"""Why two runs differ: values compared key by key.

Configuration, environment and hardware are nested values of many shapes. Flattened to dotted
keys they can be compared without knowing any of them; a list of named things (distributions,
GPUs) is compared by name, so that one more package is one difference and not a shift of all.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Difference(NamedTuple):
    """One key and its value on either side; None where that side does not have it."""

    key: str
    a: Any
    b: Any


def differences(a: Any, b: Any) -> list[Difference]:
    """Every dotted key whose values differ, sorted; null and absent are the same."""
    left, right = flatten(a), flatten(b)
    return [
        Difference(key, left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if not _equal(left.get(key), right.get(key))
    ]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key to leaf; lists of plain values are leaves, lists of named objects are keyed by name."""
    if type(value) is dict and value:
        return {
            key: leaf
            for name, below in value.items()
            for key, leaf in flatten(below, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    if type(value) is list and value and all(type(item) is dict and type(item.get("name")) is str for item in value):
        named = {item["name"]: {key: below for key, below in item.items() if key != "name"} or True for item in value}
        return flatten(named, prefix) if len(named) == len(value) else {prefix: value}
    return {prefix: value} if prefix else {}


def _equal(a: Any, b: Any) -> bool:
    """Equality that takes NaN for itself and keeps 1, 1.0 and True apart."""
    return type(a) is type(b) and (a == b or (a != a and b != b))
