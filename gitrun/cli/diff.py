"""`gitrun diff`: why two runs differ."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.model.canonical import path_text
from gitrun.replay.difference import Difference, differences
from gitrun.replay.sides import TOPICS, Side, changed_paths, compare_values, patch, side_of_run, working_tree
from gitrun.ui.terminal import Screen, stdout

_VALUE_LIMIT = 200


def register(app: typer.Typer) -> None:
    """Add `diff` to the application."""
    app.command("diff")(diff)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=RUN_HELP)],
    b: Annotated[str | None, typer.Argument(metavar="B", help="Another run; the working tree when left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show how B differs from A.

    Source as `git diff` prints it, config, environment, hardware: only what differs. The working tree has
    no config and no environment, since nothing was run: its source and this machine are compared. Nothing
    is written anywhere.
    """
    with open_archive() as archive, ExitStack() as stack:
        left = side_of_run(archive, resolve(archive, a))
        right = stack.enter_context(working_tree(archive)) if b is None else side_of_run(archive, resolve(archive, b))
        values = compare_values(left, right)
        if json:
            print_json(_object(left, right, values))
        else:
            _print(stdout(), left, right, values)


def _object(a: Side, b: Side, values: dict[str, list[Difference]]) -> dict[str, Any]:
    paths = [path_text(path) for path in changed_paths(a, b)]
    topics = {topic: [found._asdict() for found in values.get(topic, [])] for topic in TOPICS}
    return {
        "a": a.label.removeprefix("run "),
        "b": None if b.label == "the working tree" else b.label.removeprefix("run "),
        "source": {"a": a.tree, "b": b.tree, "changed": paths},
        **topics,
    }


def _print(screen: Screen, a: Side, b: Side, values: dict[str, list[Difference]]) -> None:
    if text := patch(a, b, screen.colour):
        screen.patch(text)
    for path, old, new in _beside(a, b):
        screen.line(f"beside the tree: {harmless(path)}  {old} → {new}")
    for topic, found in values.items():
        if found:
            screen.line(screen.style(topic, "bold"))
        for key, old, new in found:
            screen.line(f"  {harmless(key)}  {screen.style(_text(old), 'red')} → {screen.style(_text(new), 'green')}")


def _beside(a: Side, b: Side) -> list[tuple[str, str, str]]:
    """Files kept beside the trees that differ, with what each side has."""
    return [(path, _short(old), _short(new)) for path, old, new in differences(a.beside, b.beside)]


def _short(sha256: str | None) -> str:
    return f"sha256 {sha256[:12]}" if sha256 else "none"


def _text(value: Any) -> str:
    return "none" if value is None else harmless(str(value), _VALUE_LIMIT)
