"""`gitrun get`: files that a run read and wrote, brought back."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.harmless import harmless
from gitrun.archive.picking import distinct, expanded, pick, some_of
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve_many
from gitrun.archive.since import entries_of
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.cli.fsck import DAMAGE
from gitrun.errors import GitrunError, UsageError
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.remote.reach import Reach
from gitrun.replay.retrieving import Missing, retrieve
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import size

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
    way. What is not here, or was dropped, is brought from the stores of the remotes. A directory stands for all
    below it, and * in a pattern crosses slashes. Nothing is overwritten. Prints the paths written. Exit status 1
    where a file is not stored or a remote could not be asked, 5 where one is damaged; the others are written.
    Of several runs each has a directory of its own below DIR, named by the last six characters of its id; those that
    have no such file are passed over.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{harmless(kind)!r} is no kind of file: {', '.join(KINDS)}", next="gitrun get --help")
    with open_archive() as archive, Reach(archive, archive.monitor) as reach:
        runs = resolve_many(archive, [run])
        wanted = {found.id: _chosen(archive, found, kind, paths, len(runs) > 1) for found in runs}
        if not any(wanted.values()):
            raise GitrunError(f"none of these {len(runs):,} runs has such a file", next="gitrun artifacts --help")
        gone, files, total = list[Missing](), 0, 0
        for found in runs:
            place = directory if len(runs) == 1 else os.path.join(directory, short(found.id))
            if wanted[found.id]:
                entries = reach.files(found, wanted[found.id])
                got = retrieve(archive, found, entries, os.path.abspath(place), archive.monitor)
                for path in got.paths:
                    stdout().line(harmless(os.path.join(place, path_text(path))))
                gone, files, total = [*gone, *got.missing], files + len(got.paths), total + got.bytes
    for missing in gone[:_SHOWN]:
        stderr().line(f"gitrun: {harmless(path_text(missing.entry.path))}: {harmless(missing.why)}")
    if len(gone) > _SHOWN:
        stderr().line(f"gitrun: … and {len(gone) - _SHOWN:,} more could not be brought back")
    stderr().line(f"gitrun: {plural(files, 'file')}, {size(total)}, verified")
    if gone:  # where a remote could not be asked, nothing is proved lost
        raise typer.Exit(1 if reach.problem is not None else _status(gone))


def _chosen(archive: Archive, run: Run, kind: str | None, paths: list[str], is_one_of_many: bool) -> list[Entry]:
    """The files of a run that are meant; raises GitrunError for a run alone that has none."""
    entries = expanded([entry for entry in entries_of(run) if kind in (None, entry.kind)], archive.store.get)
    return distinct(some_of(entries, paths) if is_one_of_many else pick(entries, paths, run.id))


def _status(missing: list[Missing]) -> int:
    return DAMAGE if any(each.is_damage for each in missing) else 1
