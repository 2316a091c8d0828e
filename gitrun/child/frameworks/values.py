"""The values of a configuration as a report can hold them, whatever objects they are.

A configuration may hold a data frame, a lambda, itself, or a hundred megabytes. It is walked up to a bound, mappings
and objects that are only a bag of names become dotted names, and what is no plain value becomes a text: its
own name where it has one, its `repr` where it has not, and the name of the value is marked. Code of the user's (a
`__repr__`, a property, an `items`) may raise, and is only asked where nothing else is left.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

MAX_DEPTH = 24
MAX_VALUES = 5000
MAX_CHARS = 1 << 20  # of all values together
MAX_TEXT = 64 << 10  # of one value
MAX_REPR = 1000
MAX_ITEMS = 64  # of an array

_BAGS = ("Namespace", "SimpleNamespace")
_NAMED = ("torch.dtype", "torch.device", "numpy.dtype", "decimal.Decimal", "fractions.Fraction", "uuid.UUID")
_LISTS: tuple[Any, ...] = (list, tuple, set, frozenset)
_NOTHING = object()


class Flat:
    """Plain values by dotted name, and which of them are only texts that describe an object."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.unserialisable: list[str] = []
        self.left_out = False  # there was more than the bounds allow
        self._values_left, self._chars_left = MAX_VALUES, MAX_CHARS
        self._above: list[int] = []

    def add(self, name: str, value: Any) -> None:
        """Adds a value, or what lies below it."""
        if self._values_left <= 0 or self._chars_left <= 0:
            self.left_out = True
            return
        name = name[:MAX_REPR]
        inner = _mapping(value)
        if inner is None and any(_mapping(item) is not None for item in _head(value)):
            inner = dict(enumerate(_head(value)))
        if inner is None or (not inner and name):
            exact, self.values[name] = (True, {}) if inner is not None else self._leaf(value, 0)
            if not exact:
                self.unserialisable.append(name)
        elif len(self._above) >= MAX_DEPTH or id(value) in self._above:
            self.values[name] = _type_name(value)
            self.unserialisable.append(name)
        else:
            self._above.append(id(value))
            for key, item in inner.items():
                self.add(f"{name}.{_key(key)}" if name else _key(key), item)
            self._above.pop()

    def _leaf(self, value: Any, depth: int) -> tuple[bool, Any]:
        """Whether a plain value says all, and the value."""
        self._values_left -= 1
        if value is None or type(value) in (bool, float):
            return True, value
        if type(value) is int:
            return (True, value) if -(1 << 63) <= value < 1 << 64 else (False, self._text(_asked(repr, value, "int")))
        if isinstance(value, _LISTS):
            return self._items(value, depth)
        if isinstance(value, (bytes, bytearray)):
            self._chars_left -= min(len(value), MAX_TEXT)
            return len(value) <= MAX_TEXT, bytes(value[:MAX_TEXT])
        exact, text = _described(value)
        if isinstance(text, str):
            return exact and len(text) <= MAX_TEXT, self._text(text)
        return self._leaf(text, depth + 1) if depth < MAX_DEPTH else (False, _type_name(value))

    def _items(self, value: Any, depth: int) -> tuple[bool, Any]:
        if depth >= MAX_DEPTH or id(value) in self._above:
            return False, _type_name(value)
        self._above.append(id(value))
        items, whole = [], len(value) <= MAX_VALUES
        for item in _head(value):
            if self._values_left <= 0 or self._chars_left <= 0:
                whole = False
                break
            exact, plain = self._leaf(_repr(item) if _mapping(item) is not None else item, depth + 1)
            items.append(plain)
            whole = whole and exact
        self._above.pop()
        self.left_out = self.left_out or (not whole and self._values_left <= 0)
        return whole, sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items

    def _text(self, text: str) -> str:
        self._chars_left -= min(len(text), MAX_TEXT)
        return _clean(text[:MAX_TEXT])


def _head(value: Any) -> list[Any]:
    """The first items of a list, tuple or set; past the `__iter__` of somebody's subclass."""
    for kind in _LISTS:
        if isinstance(value, kind):
            return [item for _, item in zip(range(MAX_VALUES), kind.__iter__(value))]
    return []


def _first_pairs(pairs: Any) -> dict[Any, Any]:
    return {key: item for _, (key, item) in zip(range(MAX_VALUES + 1), pairs)}


def _mapping(value: Any) -> Any:
    """The dict of what a value holds by name, where it is nothing but that; else None."""
    kind = type(value)
    if kind in (str, int, float, bool, list) or value is None:
        return None
    if isinstance(value, dict):
        return _asked(lambda bag: _first_pairs(bag.items()), value, None)
    if isinstance(value, tuple):
        named = hasattr(kind, "_fields") and hasattr(kind, "_asdict")
        return _asked(lambda bag: bag._asdict(), value, None) if named else None
    if kind.__name__ in _BAGS:
        return _asked(lambda bag: _first_pairs(vars(bag).items()), value, None)
    fields = kind.__dict__.get("__dataclass_fields__")
    if isinstance(fields, dict):
        return {name: value.__dict__[name] for name in fields if name in getattr(value, "__dict__", {})}
    if str(kind.__module__).startswith(("omegaconf.", "ml_collections.")):
        return _asked(_container, value, None)
    mapping = getattr(sys.modules.get("collections.abc"), "Mapping", None)
    if mapping is not None and _asked(lambda bag: isinstance(bag, mapping), value, False):
        return _asked(lambda bag: _first_pairs(bag.items()), value, None)
    return None


def _container(value: Any) -> dict[Any, Any] | None:
    """The raw content of an OmegaConf or ConfigDict; nothing is resolved, since a resolver may do anything."""
    if hasattr(value, "to_dict"):
        found = value.to_dict()
    else:
        found = sys.modules["omegaconf"].OmegaConf.to_container(value, resolve=False, enum_to_str=True)
    return found if isinstance(found, dict) else {str(index): item for index, item in enumerate(found or ())}


def _described(value: Any) -> tuple[bool, Any]:
    """Whether the text or plain value says all, and that text or value."""
    kind = type(value)
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return True, _asked(lambda member: str.__str__(member._name_), value, _type_name(value))
    for plain in (str, int, float):
        if isinstance(value, plain):
            return True, str.__str__(value) if plain is str else plain(_asked(plain, value, 0))
    if isinstance(value, type) or kind.__name__ in ("function", "builtin_function_or_method", "method"):
        home, name = getattr(value, "__module__", None), getattr(value, "__qualname__", kind.__name__)
        return "<" not in name, f"{home}.{name}" if home else name
    if hasattr(kind, "__fspath__"):
        return True, _asked(os.fspath, value, _type_name(value))
    if kind.__module__ == "datetime" and hasattr(kind, "isoformat"):
        return True, value.isoformat()
    if kind.__module__ + "." + kind.__name__ in _NAMED:
        return True, _asked(str, value, _type_name(value))
    if kind.__module__ == "numpy" and hasattr(kind, "tolist") and value.size <= MAX_ITEMS:
        return True, _asked(lambda array: array.tolist(), value, _type_name(value))
    return False, _repr(value)


def _repr(value: Any) -> str:
    """The start of an object's `repr`, without the address in it, which is another in each run."""
    if _asked(len, value, 0) > MAX_VALUES:
        return _type_name(value)  # the repr of a table or queue may take its time
    text = _asked(repr, value, _NOTHING)
    if type(text) is not str:
        return _type_name(value)
    text = text[:MAX_REPR]
    while True:
        before, mark, behind = text.partition(" at 0x")
        if not mark:
            return text
        text = before + behind.lstrip("0123456789abcdefABCDEF")


def _asked(question: Callable[[Any], Any], value: Any, otherwise: Any) -> Any:
    """The answer of somebody's object, which may raise whatever it likes."""
    try:
        return question(value)
    except (Exception, SystemExit, GeneratorExit):
        return otherwise


def _key(key: Any) -> str:
    if type(key) is str:
        return _clean(key)
    _, text = _described(key) if key is not None else (True, "null")
    return _clean(text if isinstance(text, str) else str(text))


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"<{kind.__module__}.{kind.__qualname__} object>"


def _clean(text: str) -> str:
    """Text that UTF-8 has: lone surrogates stay only where they stand for bytes of a path."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
