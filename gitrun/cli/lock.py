"""`gitrun lock`: a run's lockfile, resolved now where it could not be when the run was recorded."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.lockfile import lockfile
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive, print_json
from gitrun.recording.relocking import lock_run
from gitrun.ui.terminal import stderr, stdout


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
        stdout().data(lockfile(archive, chosen) or b"")
        stderr().line(f"gitrun: {chosen.id} {_words(found)}")


def _words(found: dict[str, Any]) -> str:
    by = f" by {found['source']}" if found.get("source") else ""
    missing = f", but for {', '.join(found['missing'])}" if found.get("missing") else ""
    return f"is {found['state']}{by}{missing}"
