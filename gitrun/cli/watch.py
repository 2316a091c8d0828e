"""`gitrun watch`: a run while it runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.live_view import LiveRun
from gitrun.archive.message import command_line
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.cli.logs import is_live
from gitrun.errors import DamagedRecord, UsageError
from gitrun.ui.console import read_console
from gitrun.ui.metrics import draws_blocks, number
from gitrun.ui.system import system_lines
from gitrun.ui.terminal import STATUS_STYLE, Screen, stdout
from gitrun.ui.watching import Watched, tail
from gitrun.ui.words import duration

_EVERY_S = (1.0, 10.0)  # on a terminal, and elsewhere
_TAIL = 10
_METRICS = 12
_MEMBERS = 16  # whose last words are shown


def register(app: typer.Typer) -> None:
    """Add `watch` to the application."""
    app.command("watch")(watch)


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    every: Annotated[
        float | None, typer.Option("--every", metavar="SECONDS", help="How often (1 on a terminal, else 10).")
    ] = None,
    member: Annotated[
        int | None, typer.Option("--member", min=0, help="Of a run of several members, this one alone.")
    ] = None,
) -> None:
    """Watch a run: status, metrics, what it takes of the machine, the end of its console.

    On a terminal a page that is drawn anew until the run ends; elsewhere a line now and then. A run that
    has ended is shown once. Of several members each has a line, and the lines of the console begin with their numbers.
    Ctrl-C ends the watching, not the run.
    """
    screen = stdout()
    wait_s = every if every is not None else _EVERY_S[not screen.is_terminal]
    if not 0 < wait_s < float("inf"):
        raise UsageError("--every needs a number of seconds above 0", next="gitrun watch --help")
    with open_archive() as archive:
        found = resolve(archive, run)
        if isinstance(found, LiveRun):
            lives = is_live(archive, found)
            with closing(Watched(found, not draws_blocks(screen), member)) as watched, _drawing(screen):
                while lives():
                    _show(screen, watched)
                    time.sleep(wait_s)
    with open_archive(tidy=False) as archive:  # anew: the run may have been sealed since
        ended = archive.run(found.id)
        if ended is not None:
            _print_end(screen, ended, member)


def _show(screen: Screen, watched: Watched) -> None:
    watched.look()
    try:
        if screen.is_terminal:
            page = watched.page(screen, shutil.get_terminal_size().lines, time.time_ns())
            screen.stream.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in page) + "\x1b[J")
        else:
            screen.line("\t".join([time.strftime("%H:%M:%S"), *watched.line(time.time_ns())]))
        screen.stream.flush()
    except DamagedRecord:
        return  # its draft is being replaced, or it has just been sealed


@contextmanager
def _drawing(screen: Screen) -> Iterator[None]:
    """The terminal's second screen, so that the first is as it was afterwards."""
    if screen.is_terminal:
        screen.stream.write("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        if screen.is_terminal:
            screen.stream.write("\x1b[?25h\x1b[?1049l")
            screen.stream.flush()


def _print_end(screen: Screen, run: Run, only: int | None) -> None:
    """How a run has ended, and what there is to see of it."""
    record = run.to_json()
    metrics = list(_last_values(record["metrics"]))
    if not screen.is_terminal:
        said = " ".join(f"{name}={value}" for name, value in metrics)
        screen.line("\t".join([time.strftime("%H:%M:%S"), record["status"], duration(record["duration_s"]), said]))
        return
    status = screen.style(record["status"], STATUS_STYLE.get(record["status"]))
    took = "" if record["duration_s"] is None else f" in {duration(record['duration_s'])}"
    screen.line(f"{screen.style('run ' + run.id, 'bold')}  {status}{took}")
    screen.line(f"  {harmless(command_line(record['command']), 2000)}")
    for name, value in metrics:
        screen.line(f"  {name:14} {value}")
    for label, text in system_lines(record["system"]):
        screen.line(f"  {label:14} {text}")
    numbers = [n for one in record["members"] if type(n := one.get("n")) is int and only in (None, n)] or [only or 0]
    for n in numbers[:_MEMBERS]:
        before = f"{n}| " if len(numbers) > 1 else ""
        for line in tail(read_console(run, n), max(2, _TAIL // len(numbers))):
            screen.line(f"  {before}{line}")


def _last_values(metrics: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, one in list(metrics.items())[:_METRICS]:
        if type(one) is dict:
            yield harmless(name, 60), number(one.get("last"))
