"""`gitrun lock`: a run's lockfile, resolved now where it could not be when the run was recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.lockfile import lockfile
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive, print_json
from gitrun.recording.relocking import lock_run
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import lock_words


def register(app: typer.Typer) -> None:
    """Add `lock` to the application."""
    app.command("lock")(lock)


def lock(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    again: Annotated[bool, typer.Option("--again", help="Resolve it again although nothing is missing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the run's lock as JSON instead of the file.")] = False,
) -> None:
    """Print a run's pylock.toml (PEP 751), resolving first what is not locked yet.

    What is resolved is kept beside the run, as an annotation: a sealed run never changes. uv or pip are asked, with
    the indexes that you have set up for them; nothing is installed.
    """
    with open_archive() as archive:
        chosen = resolve(archive, run)
        found = lock_run(archive, chosen, again=again)
        if json:
            print_json(found)
            return
        stdout().foreign(lockfile(archive, chosen) or b"")
        stderr().line(f"gitrun: {chosen.id} is {harmless(lock_words(found))}")
