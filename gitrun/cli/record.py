"""`gitrun record` as typer sees it: a line in `gitrun --help`.

The command itself never comes this way, since typer would cost it a fifth of a second (see
cli.fast). Its options are defined once, in cli.options, for the fast path and for the help.
"""

from __future__ import annotations

import typer

from gitrun.cli.fast import main
from gitrun.cli.options import RECORD_SUMMARY, record_help


def register(app: typer.Typer) -> None:
    """Add `record` and its alias `run` to the application."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    summary = RECORD_SUMMARY.partition(":")[0] + "."
    add = app.command("record", short_help=summary, help=record_help(), context_settings=anything)
    add(record)
    app.command("run", hidden=True, context_settings=anything)(record)


def record(context: typer.Context) -> None:
    """Hand the words to the fast path."""
    raise typer.Exit(main(context.args))
