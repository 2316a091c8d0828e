"""argparse: the namespace that the outermost `parse_known_args` returns, before any subclass has a go at it.

`parse_args` and the intermixed variants all come through it. What a subclass that overrides `parse_args` makes of the
values afterwards cannot be seen, so the report says that there is one.
"""

from __future__ import annotations

from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import find_caller, role_of
from gitrun.child.frameworks.telling import Teller, Told, observe, same
from gitrun.child.frameworks.values import Flat


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes argparse tell what it parsed."""
    parser = module.ArgumentParser
    inherited = {name: vars(parser)[name] for name in ("parse_args", "parse_known_args")}
    suppress = module.SUPPRESS

    def describe(parsed: Any, self: Any, words: Any) -> Told | None:
        caller = find_caller()
        role = role_of(caller, words) if caller else None
        if caller is None or role is None:
            return None
        namespace, rest = parsed
        told = Told(role, caller)
        told.parsed(words)
        told.notes += [
            f"the parser's class has a {name} of its own; the values are from before it"
            for name, method in inherited.items()
            if getattr(type(self), name, method) is not method
        ]
        _add_values(told, self, dict(vars(namespace)), suppress)
        told.rest = told.places(rest)
        return told

    def add() -> None:
        method = vars(parser).get("_parse_known_args2") or parser.parse_known_args
        splice.at_return(method, Teller("argparse", report, describe).returned, ("self",), "args")

    observe("argparse", report, add)


def _add_values(told: Told, parser: Any, values: dict[str, Any], suppress: str) -> None:
    actions: dict[str, list[Any]] = {}
    for action in _all_actions(parser, values, suppress):
        actions.setdefault(action.dest, []).append(action)
    for name, value in values.items():
        found = actions.get(name, [])
        options = [option for action in found for option in action.option_strings]
        word = told.word_of(options, getattr(parser, "allow_abbrev", True)) if options else None
        default, known = _default(parser, name, found, suppress)
        if word is not None:
            source = "argv"
        elif known and _is_default(value, default, found):
            source = "default"
        elif not options and found:
            source = "argv"  # a positional one
        else:
            source = "override"  # from a namespace that was handed in, or an action of the program's own
        if source == "argv" and word is None:
            word = _index_of(told, value)
        told.add(name, value, source, default=default, has_default=known, word=word)


def _all_actions(parser: Any, values: dict[str, Any], suppress: str) -> list[Any]:
    """The actions of a parser and of the sub-parsers that were chosen."""
    found: list[Any] = []
    waiting = [parser]
    while waiting and len(found) < 5000:
        for action in list(waiting.pop()._actions):
            found.append(action)
            choices = getattr(action, "choices", None)
            if hasattr(action, "_name_parser_map") and isinstance(choices, dict):
                chosen = values.get(action.dest) if action.dest is not suppress else None
                names = [chosen] if isinstance(chosen, str) else list(choices)
                waiting += [choices[name] for name in names if name in choices]
    return found


def _default(parser: Any, name: str, actions: list[Any], suppress: str) -> tuple[Any, bool]:
    for action in actions:
        if action.default is not suppress and action.default is not None:
            return action.default, True
    if name in parser._defaults:
        return parser._defaults[name], True
    return None, any(action.default is not suppress for action in actions)


def _is_default(value: Any, default: Any, actions: list[Any]) -> bool:
    """Whether a value is the default, also one that was written as text and converted by the option's type."""
    if same(value, default):
        return True
    return (
        isinstance(default, str) and not isinstance(value, str) and any(action.type is not None for action in actions)
    )


def _index_of(told: Told, value: Any) -> int | None:
    """Where a positional value stands, if it can be told."""
    found = Flat()
    found.add("", value[0] if isinstance(value, (list, tuple)) and value else value)
    text = str(found.values.get("", ""))
    places = [index for index, word in enumerate(told.argv) if index and word == text]
    return places[0] if len(places) == 1 else None
