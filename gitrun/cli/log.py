"""`gitrun log` as typer sees it: a line in `gitrun --help` (see cli.fast_log)."""

from __future__ import annotations

import typer

from gitrun.cli.fast_log import HELP, SUMMARY, main


def register(app: typer.Typer) -> None:
    """Add `log` to the application."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("log", short_help=SUMMARY, help=HELP, context_settings=anything)(log)


def log(context: typer.Context) -> None:
    """Hand the words to the fast path."""
    raise typer.Exit(main(context.args))
