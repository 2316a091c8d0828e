"""`gitrun replay`: run a run again and say how the two compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.errors import UsageError
from gitrun.model.ids import short
from gitrun.replay.rerun import replay as run_again
from gitrun.ui.console import read_console
from gitrun.ui.terminal import Screen, stdout

_STYLE = {"differs": "red", "unverifiable": "yellow"}


def register(app: typer.Typer) -> None:
    """Add `replay` to the application."""
    app.command("replay")(replay)


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    env: Annotated[str, typer.Option("--env", help="Which environment: current (the one found here).")] = "current",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the replay's directory and print it.")] = False,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Run a run again, from its own source, as a new run of this archive, and judge the result.

    Exit status: 3 when the two differ, 4 when that cannot be verified (outputs and metrics are not
    compared yet; an input is missing; files of the source were not kept), 130 when interrupted.
    With --json the command's own stdout is not shown; `gitrun logs` has it.
    """
    if env != "current":
        raise UsageError(f"--env {env}: environments are not rebuilt yet", next="gitrun replay RUN --env current")
    with open_archive() as archive:
        found = resolve(archive, run)
        with _silenced() if json else nullcontext():
            done = run_again(archive, found, read_console, keep=keep, monitor=archive.monitor)
    if json:
        print_json(done.verdict)
    else:
        _print(stdout(), done.verdict)
        if done.directory is not None:
            stdout().line(f"  kept: {harmless(done.directory)}")
    raise typer.Exit(done.exit_code)


@contextmanager
def _silenced() -> Iterator[None]:
    """Standard output to nowhere: with --json it belongs to the verdict, and the command's goes to the record."""
    stdout().stream.flush()
    saved, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)


def _print(screen: Screen, verdict: dict[str, Any]) -> None:
    word = screen.style(verdict["verdict"], _STYLE.get(verdict["verdict"]))
    replayed = f" (replay {short(verdict['replay'])})" if verdict["replay"] else " (not started)"
    screen.line(f"{word}: run {short(verdict['run'])}{replayed}; {', '.join(verdict['compared']['not_compared'])}")
    if verdict["exit_match"] is not None:
        screen.line(f"  exit status: {'the same' if verdict['exit_match'] else 'different'}")
    for stream, same in verdict["console"].items():
        if same is not None:
            screen.line(f"  {stream}: {'the same' if same else 'different'}")
    for cause in verdict["causes"]:
        screen.line(f"  {harmless(cause)}")
    for topic in ("environment", "hardware"):
        count = len(verdict[topic])
        if count:
            next = f"gitrun diff {short(verdict['run'])} {short(verdict['replay'])}"
            screen.line(f"  {topic}: {count} difference(s); next: {next}")
