"""Refuse files and functions that hold two ideas, and exceptions that vanish without a word.

A file over 400 lines or a function that does not fit a screen (60 lines) is where a reader gets
lost, and `except …: pass` is where a problem does; the latter is fine with a reason beside it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
ROOT = Path(__file__).resolve().parents[2]
HELD_TO_BOTH = ("gitrun", "scripts")  # tests and examples may have long tables, not long functions


def main() -> int:
    problems = [problem for path in sorted(python_files()) for problem in check(path)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def python_files() -> Iterator[Path]:
    for folder in ("gitrun", "scripts", "tests", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix == ".py" or (path.is_file() and path.suffix == "" and is_python_script(path)):
                yield path


def is_python_script(path: Path) -> bool:
    with open(path, "rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and b"python" in first


def check(path: Path) -> Iterator[str]:
    name = path.relative_to(ROOT)
    text = path.read_text()
    lines = text.splitlines()
    if len(lines) > FILE_LINES and name.parts[0] in HELD_TO_BOTH:
        yield f"{name}: {len(lines)} lines; {FILE_LINES} at most"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines; {FUNCTION_LINES} at most"
        elif isinstance(node, ast.ExceptHandler) and is_silent(node) and not has_reason(node, lines):
            yield f"{name}:{node.lineno}: an exception is dropped without a comment that says why"


def is_silent(node: ast.ExceptHandler) -> bool:
    return len(node.body) == 1 and isinstance(node.body[0], ast.Pass | ast.Continue)


def has_reason(node: ast.ExceptHandler, lines: list[str]) -> bool:
    """A comment on the handler's lines or on the line above or below them counts."""
    end = node.end_lineno or node.lineno
    return any("#" in line for line in lines[max(0, node.lineno - 2) : end + 1])


if __name__ == "__main__":
    sys.exit(main())
