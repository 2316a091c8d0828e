"""`gitrun ls --remote`: what a remote has, by what its refs and commits say."""

from __future__ import annotations

import sys
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.cli.common import print_json
from gitrun.cli.ls_options import Asked
from gitrun.git.transport import open_remote
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.remote.listing import There, headers, list_runs
from gitrun.ui.table import Cell, print_csv, print_lines, print_table
from gitrun.ui.terminal import STATUS_STYLE, Screen, stderr

_LIMIT = 50  # on a terminal
_FIELDS = ("id", "name", "status", "exit", "started_at", "duration_s", "here", "command")
_TITLES = ("RUN", "NAME", "STATUS", "STARTED", "HERE", "COMMAND")


def list_remote(screen: Screen, archive: Archive, asked: Asked) -> None:
    """Print the list; raises RemoteFailed and UsageError."""
    remote = open_remote(archive.repo, asked.remote, archive.environ)
    as_table = screen.is_terminal and not asked.form
    wanted = asked.query.limit
    limit = _LIMIT if wanted is None and as_table else wanted or None
    found, hidden, has_all = list_runs(archive, remote, limit, archive.monitor)
    if asked.form == "json":
        print_json([_object(there) for there in found])
    elif asked.form == "csv":
        print_csv(sys.stdout, _FIELDS, headers(found))
    elif as_table:
        print_table(screen, _TITLES, [_row(there) for there in found])
    else:
        print_lines(screen, [list(map(harmless, fields)) for fields in headers(found)])
    name = harmless(remote.name)
    if not found:
        stderr().line(f"{name} has no runs; next: gitrun push {name}")
    if hidden and wanted is None:
        stderr().line(f"{plural(hidden, 'older run')} not shown; next: gitrun ls --remote {name} --limit 0")
    if not has_all:
        stderr().line(f"{name} sends no commits alone, so of some only the id is known; next: gitrun fetch {name}")


def _object(there: There) -> dict[str, Any]:
    said = there.summary
    return {
        "id": there.run_id,
        "commit": there.commit,
        "here": there.is_here,
        "name": (said.name or None) if said else None,
        "status": said.status if said else None,
        "started_at": (said.started or None) if said else None,
        "duration_s": said.duration_s if said else None,
        "group": (said.group or None) if said else None,
        "tags": list(said.tags) if said else [],
        "command": said.command if said else None,
    }


def _row(there: There) -> list[Cell]:
    said = there.summary
    cells = [Cell(short(there.run_id), "bold"), Cell(harmless(said.name) if said else "")]
    cells.append(Cell(said.status if said else "", STATUS_STYLE.get(said.status) if said else None))
    cells += [
        Cell(said.started[:19].replace("T", " ") if said else _day(there.run_id)),
        Cell("yes" if there.is_here else ""),
    ]
    return [*cells, Cell(harmless(said.command) if said else "")]


def _day(run_id: str) -> str:
    return f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}"
