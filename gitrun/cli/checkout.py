"""`gitrun checkout`: the exact files of a run in a fresh directory."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.harmless import harmless
from gitrun.archive.picking import distinct, expanded
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve
from gitrun.archive.since import entries_of
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.cli.env import ALLOW_HELP, check_allow, tell
from gitrun.errors import GitrunError
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.remote.reach import Reach
from gitrun.replay.checkout import CheckedOut
from gitrun.replay.checkout import checkout as check_out
from gitrun.replay.environments import create, default_place
from gitrun.replay.retrieving import as_additions, is_to_have, why_not
from gitrun.replay.source import of_run
from gitrun.ui.terminal import stderr, stdout

_SHOWN = 10
_DIR_HELP = "A new or empty directory; by default <worktree>-<run> beside the worktree."


def register(app: typer.Typer) -> None:
    """Add `checkout` to the application."""
    app.command("checkout")(checkout)


def checkout(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    directory: Annotated[str | None, typer.Argument(metavar="DIR", help=_DIR_HELP)] = None,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Also the stored files that the run read and wrote.")
    ] = False,
    env: Annotated[bool, typer.Option("--env", help="Also the environment that the run ran in, built anew.")] = False,
    allow: Annotated[str | None, typer.Option("--allow", metavar="LEVEL", help=ALLOW_HELP)] = None,
) -> None:
    """Write the exact files a run started from to a fresh directory, and print that directory alone.

    Nothing is ever overwritten. The directory has a .git of its own that answers as it did then;
    it borrows its objects from the archive. Roots that lay outside the worktree go to DIR.roots, files that
    the run loaded from elsewhere to DIR.loaded, under their absolute paths. With --artifacts what the run read and
    wrote comes too, as far as it is stored here or at a remote; what lay outside, or where the source has a file,
    goes to DIR.artifacts. With --env its environment is built as well: where it lay in the worktree (.venv), else in
    DIR.env.
    """
    check_allow(allow)
    with open_archive() as archive, Reach(archive, archive.monitor) as reach:
        found = resolve(archive, run)
        reach.source(found, environment=env)
        target = _default(archive, found) if directory is None else directory
        files = _files(archive, found, reach) if artifacts else []
        made = check_out(archive, of_run(found), target, archive.monitor, artifacts=as_additions(archive, files))
        if env:
            _build(archive, found, made, allow)
    for n, root in sorted(made.roots.items()):
        stderr().line(f"gitrun: root {n} lay outside the worktree; it is in {harmless(root)}")
    if made.loaded is not None:
        stderr().line(f"gitrun: what the run loaded from outside its source is in {harmless(made.loaded)}")
    if made.artifacts is not None:
        stderr().line(f"gitrun: files of the run that had no free place are in {harmless(made.artifacts)}")
    stdout().data(os.fsencode(made.directory) + b"\n")


def _build(archive: Archive, run: Run, made: CheckedOut, allow: str | None) -> None:
    """The environment of a checkout; what was installed to be edited in place is the checkout's own."""
    place = default_place(run, made.directory)
    places = {os.fsdecode(root.path): made.roots[root.n] for root in of_run(run).roots if root.n in made.roots}
    if isinstance(worktree := run.record.get("worktree"), str):
        places[worktree] = made.directory
    try:
        built = create(archive, run, place, allow=allow, monitor=archive.monitor, places=places)
    except GitrunError as problem:
        problem.kept = f"the files are in {made.directory}"
        raise
    if built is None or built.directory is None:
        stderr().line("gitrun: the program was no Python, so there is no environment")
        return
    tell(built.level, built.notes)
    stderr().line(f"gitrun: the environment is in {harmless(built.directory)}")


def _files(archive: Archive, run: Run, reach: Reach) -> list[Entry]:
    """The files that the run read and wrote and that can be had; what cannot is said."""
    files = reach.files(run, distinct(expanded(entries_of(run), archive.store.get)))
    missing = [entry for entry in files if not is_to_have(entry)]
    for entry in missing[:_SHOWN]:
        archive.monitor.warn("W039", f"not here: {harmless(path_text(entry.path))}: {why_not(run, entry)}")
    if len(missing) > _SHOWN:
        archive.monitor.warn(
            "W039", f"not here: {len(missing) - _SHOWN:,} more; next: gitrun artifacts {short(run.id)}"
        )
    return [entry for entry in files if is_to_have(entry)]


def _default(archive: Archive, run: Run) -> str:
    """`<worktree>-<run>` beside the worktree: inside it, the next snapshot would take the checkout for source."""
    around = archive.here or archive.repo
    if around.worktree is None:
        return os.path.abspath(f"run-{short(run.id)}")
    return f"{around.worktree.rstrip('/')}-{short(run.id)}"
