"""jsonargparse: the nested namespace that `parse_args` returns, with what came from files and the environment in it."""

from __future__ import annotations

import os
from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import find_caller, role_of
from gitrun.child.frameworks.telling import Teller, Told, observe, same
from gitrun.child.frameworks.values import Flat


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes jsonargparse tell what it parsed."""

    def describe(parsed: Any, self: Any, words: Any) -> Told | None:
        caller = find_caller()
        role = role_of(caller, words) if caller else None
        if caller is None or role is None:
            return None
        told = Told(role, caller)
        told.parsed(words)
        values = Flat()
        values.add("", parsed)
        defaults = {action.dest: action.default for action in list(self._actions) if action.dest}
        files = _config_files(self, parsed)
        told.files = [os.fsencode(path) for path in files]
        for name, value in values.values.items():
            _add_value(told, self, name, value, defaults, bool(files))
        return told

    def add() -> None:
        parser = module.ArgumentParser
        method = vars(parser).get("_unpatched_parse_args") or parser.parse_args
        splice.at_return(method, Teller("jsonargparse", report, describe).returned, ("self",), "args")

    observe("jsonargparse", report, add)


def _add_value(told: Told, parser: Any, name: str, value: Any, defaults: dict[str, Any], from_files: bool) -> None:
    parts = name.split(".")
    options = ["--" + ".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    options += ["--no_" + name, "--no-" + name]
    word = told.word_of(options, prefixes=False)
    known = name in defaults
    if word is not None:
        source = "argv"
    elif known and same(value, defaults[name]):
        source = "default"
    elif getattr(parser, "default_env", False) and _variable(parser, name) in os.environ:
        source = "environment"
    else:
        source = "file" if from_files else "default" if not known else "argv"
    told.add(name, value, source, default=defaults.get(name), has_default=known, word=word)


def _variable(parser: Any, name: str) -> str:
    prefix = getattr(parser, "env_prefix", None)
    prefix = parser.prog.partition(".")[0] + "_" if prefix is True else prefix + "_" if isinstance(prefix, str) else ""
    return (prefix + name).replace(".", "__").replace("-", "_").upper()


def _config_files(parser: Any, parsed: Any) -> list[str]:
    """The files behind options such as `--config`, and the default ones that exist."""
    found = []
    for action in list(parser._actions):
        if type(action).__name__ == "ActionConfigFile":
            given = parsed.get(action.dest) if hasattr(parsed, "get") else None
            for path in given if isinstance(given, list) else [given]:
                absolute = getattr(path, "absolute", None)
                found.append(absolute if type(absolute) is str else None)
    for path in getattr(parser, "default_config_files", None) or []:
        if isinstance(path, (str, os.PathLike)) and os.path.isfile(path):
            found.append(os.path.abspath(os.fspath(path)))
    return [path for path in found if path]
