"""What this package needs of `typing` at run time: named tuples. The real one takes longer to import than all of it."""

from __future__ import annotations

from operator import itemgetter
from typing import Any


class NamedTuple(tuple):  # type: ignore[type-arg]
    """A tuple whose fields are the annotations of the subclass."""

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(name for name in cls.__annotations__ if name[0] != "_")
        cls._defaults = {name: vars(cls)[name] for name in cls._fields if name in vars(cls)}  # type: ignore[attr-defined]
        for index, name in enumerate(cls._fields):
            setattr(cls, name, property(itemgetter(index)))

    def __new__(cls, *values: Any, **named: Any) -> Any:
        rest = cls._fields[len(values) :]
        found = {**cls._defaults, **named}  # type: ignore[attr-defined]
        if len(values) > len(cls._fields) or set(named) - set(rest) or set(rest) - set(found):
            raise TypeError(f"{cls.__name__} takes {cls._fields}")
        return tuple.__new__(cls, (*values, *(found[name] for name in rest)))

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self))

    def _replace(self, **named: Any) -> Any:
        return type(self)(**{**self._asdict(), **named})
