"""Adds a line to a function of somebody else's, so that it tells when it gets there.

A wrapper around the function would be simpler, and seen: as a frame in each traceback, as one more level for
`warnings.warn(stacklevel=2)` and `sys._getframe`, as another object than the one a subclass calls. So the
function is compiled again from its own source with one call in it, and gets this as its `__code__`. The call goes
through a constant, so no name is added to the module. The source may be another than what runs (edited, or
rewritten by an import hook): so it is compiled as it is first, and changed only where that gives exactly the code
that runs.
"""

from __future__ import annotations

import os
from typing import Any, Callable

_ONLY_AST = 0x400
_FUTURE = 0x1FFE000  # the bits of `from __future__` in the flags of a code object and of `compile`
_MARK = "<gitrun: the call goes here>"
_MOST_TRIES = 64
_MOST_LINES = 1000  # of a function
_MOST_BYTES = 16 << 20

parsing: set[Any] = set()  # the code of functions that parse; one below another is part of it


class NotFound(Exception):
    """The function is not what it was in the releases this was written for."""


def at_start(function: Any, seen: Callable[..., Any], names: tuple[str, ...]) -> None:
    """Calls `seen(*names)`, with the function's own values of these names, before its first statement."""
    line = _call(names)
    _change(function, seen, lambda body: body.insert(_first(body), _statement(line, body[_first(body)])))


def after(function: Any, seen: Callable[..., Any], names: tuple[str, ...], assigned: str) -> None:
    """Calls `seen(*names)` after the statement of the function's body that assigns `assigned`."""
    line = _call(names)

    def change(body: list[Any]) -> None:
        for index, node in enumerate(body):
            if type(node).__name__ == "Assign" and assigned in _stored(node.targets):
                body.insert(index + 1, _statement(line, node))
                return
        raise NotFound("nothing assigns " + assigned)

    _change(function, seen, change)


def at_return(function: Any, seen: Callable[..., Any], names: tuple[str, ...], first: str | None = None) -> None:
    """Returns `seen(value, *names)` for each `value` that the function returns; `seen` gives it back.

    `first` names a parameter of which `seen` gets what it was at the start, behind the names.
    """
    kept = "_words_"
    line = _call(("None", *names, *((kept,) if first else ())))

    def change(body: list[Any]) -> None:
        returns = list(_returns(body))
        if not returns:
            raise NotFound("nothing is returned")
        for node in returns:
            call = _statement(line, node).value
            call.args[0] = node.value
            node.value = call
        if first:
            body.insert(_first(body), _statement(kept + " = " + first, body[_first(body)]))

    _change(function, seen, change)
    parsing.add(function.__code__)


def _call(names: tuple[str, ...]) -> str:
    return f"({_MARK!r}).__call__({', '.join(names)})"


def _change(function: Any, seen: Callable[..., Any], change: Callable[[list[Any]], None]) -> None:
    code = function.__code__
    tree, flags = _source(function, code)
    change(_function(tree).body)
    new = _compiled(tree, code, flags)
    # by type first: under -bb a comparison of bytes and text raises
    constants = tuple(seen if type(item) is str and item == _MARK else item for item in new.co_consts)
    if not any(item is seen for item in constants) or new.co_freevars != code.co_freevars:
        raise NotFound("it has another form")
    function.__code__ = new.replace(co_consts=constants)


def _source(function: Any, code: Any) -> tuple[Any, int]:
    """The syntax tree that compiles to exactly this code, and the flags for it."""
    path = code.co_filename
    if not os.path.isfile(path):
        raise NotFound("it has no source")
    start = code.co_firstlineno - 1
    homes = function.__qualname__.split(".")[:-1]
    lines = _lines(path, start)
    if start < 2 or not lines or len(homes) > 1:
        raise NotFound("its source is elsewhere")
    indent = len(lines[0]) - len(lines[0].lstrip())
    head = _imports(function) + "\n" * (start - len(homes)) + "".join(f"class {home}:\n" for home in homes)
    flags = code.co_flags & _FUTURE
    tries = 0
    for end in range(1, len(lines) + 1):
        following = lines[end] if end < len(lines) else "x"
        if not following.strip() or following[0] == "#" or len(following) - len(following.lstrip()) > indent:
            continue
        text = head + "\n".join(lines[:end]) + "\n"
        try:
            tree = compile(text, path, "exec", flags | _ONLY_AST, True)
            if _compiled(tree, code, flags) == code:
                return tree, flags
        except SyntaxError:
            pass  # a signature or a text over several lines: its end is further down
        tries += 1
        if tries == _MOST_TRIES:
            break
    raise NotFound("its source is another")


def _lines(path: str, start: int) -> list[str]:
    """The lines of a file from one on, up to a bound; only they are decoded, most of a file is before or behind."""
    with open(path, "rb") as file:
        parts = file.read(_MOST_BYTES).split(b"\n", start)
    lines = parts[start].split(b"\n", _MOST_LINES)[:_MOST_LINES] if len(parts) > start else []
    return b"\n".join(lines).decode("utf-8").replace("\r\n", "\n").split("\n") if lines else []


def _imports(function: Any) -> str:
    """An import of the names that the module has imported: a call of what lies in one is compiled in its own way."""
    space = function.__globals__
    module = type(os)
    found = [
        name
        for name in function.__code__.co_names
        if name in space
        and (
            isinstance(space[name], module) or getattr(space[name], "__module__", None) not in (None, space["__name__"])
        )
    ]
    return "import " + ", ".join(found) if found else ""


def _compiled(tree: Any, code: Any, flags: int) -> Any:
    """The code object of the one function in a tree."""
    found = compile(tree, code.co_filename, "exec", flags, True)
    for _ in range(2):
        inner = [item for item in found.co_consts if type(item) is type(code)]
        if not inner:
            break
        found = inner[0]
        if found.co_name == code.co_name:
            return found
    raise NotFound("its source is another")


def _function(tree: Any) -> Any:
    node = tree.body[-1]
    return node if type(node).__name__ == "FunctionDef" else node.body[0]


def _first(body: list[Any]) -> int:
    """The index behind the docstring."""
    value = getattr(body[0], "value", None) if type(body[0]).__name__ == "Expr" else None
    documented = isinstance(getattr(value, "value", None), str)
    return 1 if documented and len(body) > 1 else 0


def _returns(nodes: list[Any]) -> Any:
    """The statements that return a value, without those of functions inside."""
    for node in nodes:
        kind = type(node).__name__
        if kind == "Return" and node.value is not None:
            yield node
        elif kind not in ("FunctionDef", "AsyncFunctionDef", "ClassDef"):
            for field in ("body", "orelse", "handlers", "finalbody", "cases"):
                yield from _returns(getattr(node, field, []))


def _stored(targets: list[Any]) -> set[str]:
    names: set[str] = set()
    for node in targets:
        names.update((node.id,) if hasattr(node, "id") else _stored(getattr(node, "elts", [])))
    return names


def _statement(text: str, place: Any) -> Any:
    """A statement, every part of it at the place of another."""
    statement = compile(text, "<gitrun child>", "exec", _ONLY_AST, True).body[0]
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(node, name):
                setattr(node, name, getattr(place, name))
        for field in node._fields:
            value = getattr(node, field, None)
            for item in value if isinstance(value, list) else (value,):
                if hasattr(item, "_fields"):
                    waiting.append(item)
    return statement
