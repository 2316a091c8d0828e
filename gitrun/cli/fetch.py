"""`gitrun fetch` as typer sees it: a line in `gitrun --help`; the command itself is cli.fast_fetch."""

from __future__ import annotations

import typer

from gitrun.cli.fast_fetch import fetch as fast
from gitrun.cli.sharing_options import FETCH_SUMMARY, fetch_help


def register(app: typer.Typer) -> None:
    """Add `fetch` to the application."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("fetch", short_help=FETCH_SUMMARY, help=fetch_help(), context_settings=anything)(fetch)


def fetch(context: typer.Context) -> None:
    """Hand the words to the fast path."""
    raise typer.Exit(fast(context.args))
