"""absl: the flags of the program, after `FLAGS(argv)` has parsed and checked them.

A program has the flags of every module it imports. Those of absl itself are only told where they were set.
"""

from __future__ import annotations

import os
from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import find_caller, role_of
from gitrun.child.frameworks.telling import Teller, Told, observe, same


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes absl tell what it parsed."""

    def describe(rest: Any, self: Any, argv: Any) -> Told | None:
        caller = find_caller()
        role = role_of(caller, argv[1:] if isinstance(argv, (list, tuple)) else None) if caller else None
        if caller is None or role is None:
            return None
        told = Told(role, caller)
        told.parsed(argv[1:] if isinstance(argv, (list, tuple)) else None)
        for home, flags in self.flags_by_module_dict().items():
            for flag in list(flags):
                if flag.present or str(home).partition(".")[0] != "absl":
                    _add_flag(told, flag)
        told.rest = told.places(rest[1:] if isinstance(rest, list) else [])
        return told

    def add() -> None:
        splice.at_return(module.FlagValues.__call__, Teller("absl", report, describe).returned, ("self", "argv"))

    observe("absl", report, add)


def _add_flag(told: Told, flag: Any) -> None:
    names = [name for name in (flag.name, flag.short_name) if name]
    words = ["--" + name for name in names] + ["-" + name for name in names]
    if flag.boolean:
        words += ["--no" + name for name in names] + ["-no" + name for name in names]
    word = told.word_of(words, prefixes=False)
    if flag.name == "flagfile":
        if not flag.present:
            return
        told.files += [os.fsencode(path) for path in _texts(flag.value)]
    if word is not None:
        source = "argv"
    elif flag.present:
        source = "file"  # a flagfile is read as if it were words
    else:
        source = "default" if flag.using_default_value or same(flag.value, flag.default) else "override"
    told.add(flag.name, flag.value, source, default=flag.default, has_default=True, word=word)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in values if type(item) is str and item]
