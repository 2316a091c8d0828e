"""`gitrun diff`: why two runs differ."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.model.canonical import path_text
from gitrun.replay.compare import Tolerance
from gitrun.replay.diff_results import Results, compare_results
from gitrun.replay.difference import Difference, differences
from gitrun.replay.sides import TOPICS, Side, changed_paths, compare_values, patch, side_of_run, working_tree
from gitrun.ui.terminal import Screen, stdout

_VALUE_LIMIT = 200
_LONG = 500


def register(app: typer.Typer) -> None:
    """Add `diff` to the application."""
    app.command("diff")(diff)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=RUN_HELP)],
    b: Annotated[str | None, typer.Argument(metavar="B", help="Another run; the working tree when left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show how B differs from A.

    Source as `git diff` prints it, config, environment, hardware, seeds, inputs, outputs and metrics: only what
    differs. Outputs and metrics are compared as `replay` compares them: of numbers it is told how far apart they
    are, of a metric the first step that differs. The working tree has no more than its source and this machine,
    since nothing was run. Nothing is written anywhere.
    """
    with open_archive() as archive, ExitStack() as stack:
        left = side_of_run(archive, resolve(archive, a))
        right = stack.enter_context(working_tree(archive)) if b is None else side_of_run(archive, resolve(archive, b))
        values, results = compare_values(left, right), _results(archive, left, right)
        if json:
            print_json(_object(left, right, values, results))
        else:
            _print(stdout(), left, right, values)
            _print_results(stdout(), results)


def _results(archive: Archive, a: Side, b: Side) -> Results:
    """What the two read, wrote and logged; of a run that has not ended nothing is known for certain."""
    if a.run is None or b.run is None or a.run.is_live or b.run.is_live:
        return Results([], [], [])
    return compare_results(archive, a.run, b.run, Tolerance())


def _object(a: Side, b: Side, values: dict[str, list[Difference]], results: Results) -> dict[str, Any]:
    paths = [path_text(path) for path in changed_paths(a, b)]
    topics = {topic: [found._asdict() for found in values.get(topic, [])] for topic in TOPICS}
    return {
        "a": a.label.removeprefix("run "),
        "b": None if b.label == "the working tree" else b.label.removeprefix("run "),
        "source": {"a": a.tree, "b": b.tree, "changed": paths},
        **topics,
        **results.to_json(),
    }


def _print(screen: Screen, a: Side, b: Side, values: dict[str, list[Difference]]) -> None:
    if text := patch(a, b, screen.colour):
        screen.foreign(text)
    for path, old, new in _beside(a, b):
        screen.line(f"beside the tree: {harmless(path)}  {old} → {new}")
    for topic, found in values.items():
        if found:
            screen.line(screen.style(topic, "bold"))
        for key, old, new in found:
            screen.line(f"  {harmless(key)}  {screen.style(_text(old), 'red')} → {screen.style(_text(new), 'green')}")


def _print_results(screen: Screen, results: Results) -> None:
    if results.inputs:
        screen.line(screen.style("inputs", "bold"))
    for path, old, new in results.inputs:
        screen.line(f"  {harmless(path_text(path))}  {_digest(old)} → {_digest(new)}")
    if results.outputs:
        screen.line(screen.style("outputs", "bold"))
    for output in results.outputs:
        name = f"{harmless(path_text(output.path))}"
        if output.renamed_from is not None:
            name = f"{harmless(path_text(output.renamed_from))} → {name}"
        screen.line(f"  {name}  {output.level.word}{_after(': ', output.detail)}")
    if results.metrics:
        screen.line(screen.style("metrics", "bold"))
    for metric, old_last, new_last in results.metrics:
        step = metric.first_divergent_step
        first = "" if step is None else f", from step {step} on"
        values = f"{screen.style(_text(old_last), 'red')} → {screen.style(_text(new_last), 'green')}"
        screen.line(f"  {harmless(metric.name)}  {values}  {metric.level.word}{first}{_after(': ', metric.detail)}")


def _after(sign: str, text: str) -> str:
    return sign + harmless(text, _LONG) if text else ""


def _digest(sha256: str | None) -> str:
    return f"sha256 {sha256[:12]}" if sha256 else "none"


def _beside(a: Side, b: Side) -> list[tuple[str, str, str]]:
    """Files kept beside the trees that differ, with what each side has."""
    return [(path, _digest(old), _digest(new)) for path, old, new in differences(a.beside, b.beside)]


def _text(value: Any) -> str:
    return "none" if value is None else harmless(str(value), _VALUE_LIMIT)
