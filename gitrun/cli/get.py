"""`gitrun get`: files that a run read and wrote, brought back."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.picking import distinct, expanded, pick
from gitrun.archive.selectors import resolve
from gitrun.archive.since import entries_of
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.cli.fsck import DAMAGE
from gitrun.errors import UsageError
from gitrun.model.canonical import path_text
from gitrun.replay.retrieving import Missing, retrieve
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import plural, size

KINDS = ("output", "artifact", "input")
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add `get` to the application."""
    app.command("get")(get)


def get(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Paths as `gitrun artifacts` lists them, or patterns.")
    ],
    directory: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Where to put them.")] = ".",
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only outputs, artifacts or inputs: output, …")
    ] = None,
) -> None:
    """Bring back files that a run read and wrote.

    Each is written below DIR under its recorded path (an absolute one without its first slash) and verified on the
    way. A directory stands for all below it, and * in a pattern crosses slashes. Nothing is overwritten. Prints the
    paths written. Exit status 1 where a file is not stored, 5 where one is damaged; the others are written.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{harmless(kind)!r} is no kind of file: {', '.join(KINDS)}", next="gitrun get --help")
    with open_archive() as archive:
        found = resolve(archive, run)
        entries = [entry for entry in entries_of(found) if kind in (None, entry.kind)]
        chosen = distinct(pick(expanded(entries, archive.store.get), paths, found.id))
        got = retrieve(archive, found, chosen, os.path.abspath(directory), archive.monitor)
    for path in got.paths:
        stdout().line(harmless(os.path.join(directory, path_text(path))))
    for missing in got.missing[:_SHOWN]:
        stderr().line(f"gitrun: {harmless(path_text(missing.entry.path))}: {harmless(missing.why)}")
    if len(got.missing) > _SHOWN:
        stderr().line(f"gitrun: … and {len(got.missing) - _SHOWN:,} more could not be brought back")
    stderr().line(f"gitrun: {plural(len(got.paths), 'file')}, {size(got.bytes)}, verified")
    if got.missing:
        raise typer.Exit(_status(got.missing))


def _status(missing: list[Missing]) -> int:
    return DAMAGE if any(each.is_damage for each in missing) else 1
