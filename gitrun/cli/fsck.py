"""`gitrun fsck`: is everything there that the archive says it has?"""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.fsck import fsck as check
from gitrun.archive.harmless import harmless
from gitrun.cli.common import JSON_HELP, open_archive, print_json
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.remote.healing import Remotes
from gitrun.remote.reach import Reach
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr, stdout

DAMAGE = 5
ASIDE = "W036"


def register(app: typer.Typer) -> None:
    """Add `fsck` to the application."""
    app.command("fsck")(fsck)


def fsck(
    data: Annotated[bool, typer.Option("--data", help="Read and verify every stored byte as well.")] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Put damaged packs aside, keep what is whole of them, and bring what is missing from remotes.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Check that everything is there that the archive says it has.

    Looks at every run, its parts, the content it names and the frames of all packs. A check of every byte that
    was broken off goes on where it was. What a remote is known to have is not damage. Exit status 5
    when damage was found.
    """
    with open_archive() as archive, Reach(archive, archive.monitor) as reach:
        if not repair:
            reach.close()  # what is not here is told, and not fetched
        remotes = Remotes(archive, reach)
        monitor = TerminalMonitor(stderr())
        found = list(check(archive, data=data or repair, mend=repair, elsewhere=remotes, monitor=monitor))
        if any(finding.code == ASIDE for finding in found):
            # What a damaged list named was not known: it is whole by now, where a remote had it.
            again = check(archive, mend=True, elsewhere=remotes, monitor=monitor)
            found += [finding for finding in again if finding not in found]
    damage = [finding for finding in found if finding.is_damage]
    if as_json:
        print_json({"ok": not damage, "problems": [finding._asdict() for finding in found]})
    else:
        for finding in found:
            runs = f" (runs {', '.join(short(run_id) for run_id in finding.runs[:5])})" if finding.runs else ""
            stdout().line(f"{finding.code} {harmless(finding.where)}: {harmless(finding.what)}{runs}")
        stderr().line(f"gitrun: {plural(len(damage), 'problem')} found" if damage else "gitrun: all is well")
    if damage:
        raise typer.Exit(DAMAGE)
