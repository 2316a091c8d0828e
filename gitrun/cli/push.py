"""`gitrun push` as typer sees it: a line in `gitrun --help`; the command itself is cli.fast_push."""

from __future__ import annotations

import typer

from gitrun.cli.fast_push import push as fast
from gitrun.cli.sharing_options import PUSH_SUMMARY, push_help


def register(app: typer.Typer) -> None:
    """Add `push` to the application."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("push", short_help=PUSH_SUMMARY, help=push_help(), context_settings=anything)(push)


def push(context: typer.Context) -> None:
    """Hand the words to the fast path."""
    raise typer.Exit(fast(context.args))
