"""fire: what a component is called with, after its words were parsed and before it is called."""

from __future__ import annotations

import sys
from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import find_caller, role_of
from gitrun.child.frameworks.telling import Teller, Told, observe

_KEYWORD_ONLY, _VARARGS, _VARKW = "KEYWORD_ONLY", "VAR_POSITIONAL", "VAR_KEYWORD"


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes fire tell what it parsed."""

    def describe(fn: Any, args: Any, varargs: Any, kwargs: Any) -> Told | None:
        caller = find_caller()
        role = role_of(caller, args) if caller else None
        if caller is None or role is None:
            return None
        told = Told(role, caller)
        positional, keywords = list(varargs), dict(kwargs)
        for name, parameter in _parameters(fn):
            kind = parameter.kind.name
            known = parameter.default is not parameter.empty
            default = parameter.default if known else None
            if kind == _VARARGS:
                if positional:
                    told.add(name, positional, "argv")
                positional = []
            elif kind == _VARKW:
                for key in list(keywords):
                    told.add(key, keywords.pop(key), "argv", word=_word(told, key))
            elif name in keywords:
                told.add(name, keywords.pop(name), "argv", default=default, has_default=known, word=_word(told, name))
            elif positional and kind != _KEYWORD_ONLY:
                value, word = positional.pop(0), _word(told, name)
                source = "default" if word is None and known and value is default else "argv"
                told.add(name, value, source, default=default, has_default=known, word=word)
            elif known:
                told.add(name, default, "default", default=default, has_default=True)
        return told

    def add() -> None:
        teller = Teller("fire", report, describe)
        splice.after(module._CallAndUpdateTrace, teller.passed, ("fn", "args", "varargs", "kwargs"), "kwargs")

    observe("fire", report, add)


def _parameters(fn: Any) -> list[tuple[str, Any]]:
    return list(sys.modules["inspect"].signature(fn).parameters.items())


def _word(told: Told, name: str) -> int | None:
    dashed = name.replace("_", "-")
    return told.word_of(["--" + name, "--" + dashed, "--no" + name, "-" + name, "-" + dashed, "-" + name[:1]], False)
