"""The command line as a whole: every family in one typer application, and one way to end.

`record` does not come here: its start-up cannot afford typer (see cli.fast). Only its line in the
help does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any, cast

import typer

from gitrun import __version__
from gitrun.cli.problems import guarded
from gitrun.errors import UsageError

# Each command and the module whose `register` adds it, in the order of `gitrun --help`. Only the
# module of the command that was typed is loaded: a list of runs does not wait for the replayer.
FAMILIES = (
    "record",
    "snapshot",
    "ls",
    "show",
    "logs",
    "watch",
    "metrics",
    "log",
    "diff",
    "status",
    "artifacts",
    "get",
    "checkout",
    "replay",
    "env",
    "lock",
    "tag",
    "note",
    "claim",
    "rename",
    "rm",
    "undelete",
    "push",
    "fetch",
    "remote",
    "du",
    "drop",
    "gc",
    "fsck",
    "recover",
    "doctor",
)

HELP = "Record runs of any command inside a Git repository, give their exact files back, run them again."

# typer may bring its own copy of click or import click; either way BadParameter descends from ClickException.
_ClickException = cast(type[Exception], typer.BadParameter.__mro__[2])


def build_app(families: Iterable[str] = FAMILIES) -> typer.Typer:
    """The typer application with the commands of these families, all of them for its help."""
    app = typer.Typer(
        name="gitrun",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(help=HELP)(_top)
    for family in families:
        import_module(f"gitrun.cli.{family}").register(app)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status, and never raises for an expected problem."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return guarded(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    asked = [first] if first in FAMILIES else [] if first == "--version" else FAMILIES
    command: Any = typer.main.get_command(build_app(asked))
    try:
        # Not command.main(): that turns a closed pipe into exit status 1 before we can see it.
        with command.make_context("gitrun", arguments or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _ClickException as problem:
        raise _usage(problem) from problem
    return 0


def _usage(problem: Any) -> UsageError:
    """A command line that typer could not parse, with the help that explains it."""
    context = getattr(problem, "ctx", None)
    return UsageError(problem.format_message(), next=f"{context.command_path if context else 'gitrun'} --help")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gitrun {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """What comes before the command's name."""
