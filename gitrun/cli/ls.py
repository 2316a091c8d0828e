"""`gitrun ls` as typer sees it: a line in `gitrun --help`; the command itself goes the short way of cli.fast_ls."""

from __future__ import annotations

import typer

from gitrun.cli.fast_ls import ls as fast
from gitrun.cli.ls_options import SUMMARY, ls_help


def register(app: typer.Typer) -> None:
    """Add `ls` to the application."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("ls", short_help=SUMMARY, help=ls_help(), context_settings=anything)(ls)


def ls(context: typer.Context) -> None:
    """Hand the words to the fast path."""
    raise typer.Exit(fast(context.args))
