"""`gitrun replay`: run a run again and say how the two compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.apart import have_for_replay
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.errors import UsageError
from gitrun.replay.chain import replay_chain
from gitrun.replay.environments.outcome import ALLOWED, CURRENT
from gitrun.replay.prefix import Goal, parse_goal
from gitrun.replay.rerun import RECORDED, Wishes
from gitrun.replay.rerun import replay as run_again
from gitrun.replay.verdict import ATOL, RTOL, Options, extent_of
from gitrun.ui.console import read_console
from gitrun.ui.terminal import stdout
from gitrun.ui.verdict import print_verdict

_Env = Annotated[
    str, typer.Option("--env", help="Which environment: recorded (had again, the default) or current (found here).")
]
_Accept = Annotated[
    str | None,
    typer.Option("--accept", help="What is good enough: bit, semantic or tolerance (default: its claims, else bit)."),
]
_Until = Annotated[
    str | None,
    typer.Option("--until", metavar="step=N", help="Stop when it has logged this step, and compare up to there."),
]
_For = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="Stop after this time (90s, 10m, 2h), and compare up to there."),
]


def register(app: typer.Typer) -> None:
    """Add `replay` to the application."""
    app.command("replay")(replay)


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    env: _Env = RECORDED,
    allow: Annotated[
        str | None,
        typer.Option("--allow", help="Where the recorded one cannot be had: same-version, or current."),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="With an empty home, no caches and no temporary files of others.")
    ] = False,
    chain: Annotated[
        bool, typer.Option("--chain", help="All legs of a resumed run, from the first on, instead of this one.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the replay's directory and print it.")] = False,
    accept: _Accept = None,
    rtol: Annotated[float, typer.Option("--rtol", help="How far numbers may be apart, against their size.")] = RTOL,
    atol: Annotated[float, typer.Option("--atol", help="How far numbers may be apart whatever their size.")] = ATOL,
    strict_console: Annotated[
        bool, typer.Option("--strict-console", help="What it wrote to the console decides as well.")
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="GLOB", help="Files and metrics that decide nothing.")
    ] = None,
    until: _Until = None,
    duration: _For = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Run a run again, from its own source, as a new run of this archive, and judge the result.

    The verdict is the weakest of exit status, files and metrics: bit (the same bytes), semantic (the same
    values in other containers), tolerance (numbers near enough), unverifiable (nobody can tell) or differs.
    Exit status: 0 when it reaches --accept, 3 when it falls short of it, 4 when it cannot be verified (nothing to
    compare, an input is missing, files of the source were not kept), 130 when interrupted.
    --until and --for compare what a run had logged in its beginning; the first point that differs ends such a replay.
    With --json the command's own stdout is not shown; `gitrun logs` has it.
    """
    wishes = _wishes(env, allow, clean, keep)
    options = Options(accept, rtol, atol, strict_console, tuple(ignore or ())).checked()
    goal = _goal(until, duration, "--chain" if chain else "--strict-console" if strict_console else None)
    with open_archive() as archive:
        found = resolve(archive, run)
        have_for_replay(archive, found, os.environ, archive.monitor)
        with _silenced() if json else nullcontext():
            if chain:
                done = replay_chain(
                    archive, found, read_console, options=options, wishes=wishes, monitor=archive.monitor
                )
            else:
                done = run_again(
                    archive, found, read_console, options=options, goal=goal, wishes=wishes, monitor=archive.monitor
                )
    if json:
        print_json(done.verdict)
    else:
        print_verdict(stdout(), done.verdict, extent_of(done.verdict))
        if done.directory is not None:
            stdout().line(f"  kept: {harmless(done.directory)}")
    raise typer.Exit(done.exit_code)


def _wishes(env: str, allow: str | None, clean: bool, keep: bool) -> Wishes:
    if env not in (RECORDED, CURRENT):
        raise UsageError(f"--env {env}: recorded or current", next="gitrun replay --help")
    if allow not in (None, *ALLOWED):
        raise UsageError(f"--allow {allow}: {' or '.join(ALLOWED)}", next="gitrun replay --help")
    return Wishes(env, allow, clean, keep)


def _goal(until: str | None, duration: str | None, whole: str | None) -> Goal | None:
    """How far the replay goes; `whole` is an option that needs all of it."""
    goal = parse_goal(until, duration)
    if goal is not None and whole is not None:
        raise UsageError(f"{whole} needs all of a replay: without --until and --for", next="gitrun replay --help")
    return goal


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
