"""Does something right after a module was imported, without a place in `sys.meta_path` and without a frame on a stack.

The loader of such a module gets an `exec_module` of its own for the one call that follows. It is gone before the
module runs, and its code bears the name that Python leaves out of tracebacks and of stack levels.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_FROZEN = "<frozen importlib._bootstrap>"


def install(child: Any) -> None:
    """Fills `child.hooks`: the name of a module -> the file below gitrun.child whose `install` it is for."""
    hooks = dict(child.load("seeds").HOOKS)
    try:
        frameworks = child.load("frameworks").HOOKS
    except Exception:  # they are worth having, and the rest does not depend on them
        frameworks = {}
    for name, file in frameworks.items():
        hooks[name] = "frameworks." + file
    if os.environ.get("GITRUN_SEED") or os.environ.get("GITRUN_DETERMINISTIC"):
        hooks = {**dict.fromkeys(child.load("steady").HOOKS, "steady"), **hooks}
    child.hooks = hooks
    for name in [name for name in hooks if name in sys.modules]:
        if not getattr(getattr(sys.modules[name], "__spec__", None), "_initializing", False):
            _imported(child, name, sys.modules[name])


def await_module(child: Any, loader: Any, name: str) -> None:
    """Calls the hook of `name` once `loader` has run the module."""

    def exec_module(module: Any) -> None:
        del loader.exec_module
        loader.exec_module(module)
        _imported(child, name, module)

    exec_module.__code__ = exec_module.__code__.replace(co_filename=_FROZEN)
    loader.exec_module = exec_module


def _imported(child: Any, name: str, module: Any) -> None:
    def report(value: dict[str, Any]) -> None:
        child.guarded("report", "config", value)

    try:
        file = child.hooks[name]
        child.load(file).install(module, child if file in ("seeds", "steady") else report)
        if file == "seeds" and "steady" in child.hooks.values():
            child.load("steady").install(module, child)  # noted like a seed of the program's own
    except Exception as problem:  # a release that looks different inside: its values are not observed
        text = f"{name} is not observed: {type(problem).__name__}"
        child.guarded("report", "write", {"kind": "problem", "text": text})
