"""click, and the one that typer brings along: the parameters of each command, just before its function is called."""

from __future__ import annotations

import sys
from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import LAUNCHER, find_caller, role_of
from gitrun.child.frameworks.telling import Teller, Told, observe
from gitrun.child.redact import placeholder

_SOURCES = {
    "COMMANDLINE": "argv", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "file",
    "PROMPT": "override",
}  # fmt: skip


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes click tell what a command is called with."""
    framework = "typer" if module.__name__.startswith("typer.") else "click"

    def describe(command: Any, ctx: Any) -> Told | None:
        caller = find_caller()
        role = role_of(caller, _words(ctx)) if caller else None
        if caller is None or role is None:
            return None
        name = getattr(ctx, "command_path", None)
        told = Told(role, caller, None if role == LAUNCHER or type(name) is not str else name)
        above = set()
        parents: list[Any] = []
        parent = ctx.parent
        while parent is not None and len(parents) < 64:
            parents.append(parent)
            parent = parent.parent
        for one in reversed(parents):
            above.update(one.params)
        parameters = {parameter.name: parameter for parameter in command.params}
        for key, value in list(ctx.params.items()):
            shown = f"{ctx.info_name}.{key}" if key in above else key
            _add_value(told, ctx, shown, key, value, parameters.get(key))
        return told

    def add() -> None:
        splice.at_start(module.Command.invoke, Teller(framework, report, describe).passed, ("self", "ctx"))

    observe(framework, report, add)


def _add_value(told: Told, ctx: Any, shown: str, key: str, value: Any, parameter: Any) -> None:
    source = ctx.get_parameter_source(key) if hasattr(ctx, "get_parameter_source") else None
    told_source = _SOURCES.get(getattr(source, "name", None) or "", "default" if source is None else "override")
    default = getattr(parameter, "default", None)
    plain = default is None or type(default) in (str, int, float, bool, list, tuple)  # a function may do anything
    options = [*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())]
    word = told.word_of(options) if told_source == "argv" and options else None
    if getattr(parameter, "hide_input", False) and isinstance(value, str) and value:
        told.hide(value, placeholder(key))
        value = placeholder(key)
        default = None
    told.add(shown, value, told_source, default=default, has_default=parameter is not None and plain, word=word)


def _words(ctx: Any) -> list[str] | None:
    """The words that `main` was given, where it was given some: its frame is the only place that knows."""
    frame: Any = sys._getframe(1)
    for _ in range(2000):
        if frame is None:
            return None
        if frame.f_code.co_name == "main" and frame.f_globals.get("__name__", "").endswith("click.core"):
            words = frame.f_locals.get("args")
            return list(words) if isinstance(words, (list, tuple)) else None
        frame = frame.f_back
    return None
