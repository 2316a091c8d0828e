"""`gitrun du`: how much of the store each run needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.disk_usage import PathUsage, RunUsage, StoreUsage, measure
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.ui.table import Cell, print_lines, print_table
from gitrun.ui.terminal import Screen, stderr, stdout
from gitrun.ui.words import size

_RUN_TITLES = ("RUN", "NAME", "FILES", "BYTES", "STORED", "UNIQUE", "")
_PATH_TITLES = ("RUN", "KIND", "BYTES", "STORED", "UNIQUE", "PATH")


def register(app: typer.Typer) -> None:
    """Add `du` to the application."""
    app.command("du")(du)


def du(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help=RUN_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Say how much of the store each run needs, or each stored file of the runs named.

    STORED is what a run or file needs of the store, UNIQUE what nothing else needs, so what would go with it. In a
    pipe, lines with tabs: run, bytes, stored, unique, and the path of a file or the name of a run. Git's own
    objects, the source among them, are not counted.
    """
    with open_archive() as archive:
        chosen = [run.id for run in resolve_many(archive, runs or ())]
        store, found = measure(archive, chosen, archive.monitor)
        shown = [usage for usage in found if not chosen or usage.run.id in chosen]
        screen = stdout()
        if json:
            print_json({"store": _store(store), "runs": [_object(usage, bool(chosen)) for usage in shown]})
        elif chosen:
            _paths(screen, shown)
        else:
            _runs(screen, shown)
    more = f", {size(store.unneeded)} of it needed by nothing, next: gitrun gc" if store.unneeded else ""
    stderr().line(f"gitrun: the store has {size(store.bytes)} in {plural(store.packs, 'pack')}{more}")


def _runs(screen: Screen, found: list[RunUsage]) -> None:
    if not screen.is_terminal:
        print_lines(screen, (_fields(usage, usage.run.summary.name) for usage in found))
    elif found:
        print_table(screen, _RUN_TITLES, [_row(usage) for usage in found])


def _paths(screen: Screen, found: list[RunUsage]) -> None:
    if screen.is_terminal:
        print_table(screen, _PATH_TITLES, [row for usage in found for row in _path_rows(usage)])
        return
    for usage in found:
        print_lines(screen, (_path_fields(usage.run.id, each) for each in usage.paths))


def _fields(usage: RunUsage, last: str) -> list[str]:
    return [usage.run.id, str(usage.bytes), str(usage.stored), str(usage.unique), usage.problem or last]


def _path_fields(run_id: str, usage: PathUsage) -> list[str]:
    entry = usage.entry
    return [run_id, str(entry.size or 0), str(usage.stored), str(usage.unique), harmless(path_text(entry.path))]


def _row(usage: RunUsage) -> list[Cell]:
    note = f"cannot be read: {usage.problem}" if usage.problem else "removed" if usage.removed else ""
    numbers = ["", "", ""] if usage.problem else [size(usage.bytes), size(usage.stored), size(usage.unique)]
    name = usage.run.summary.name
    return [
        Cell(short(usage.run.id), "bold"),
        Cell(name),
        Cell(str(usage.files)),
        *map(Cell, numbers),
        Cell(note, "yellow"),
    ]


def _path_rows(usage: RunUsage) -> list[list[Cell]]:
    run_id = Cell(short(usage.run.id), "bold")
    rows = [
        [
            run_id,
            Cell("all"),
            *map(Cell, map(size, (usage.bytes, usage.stored, usage.unique))),
            Cell(usage.problem or ""),
        ]
    ]
    for each in usage.paths:
        numbers = map(size, (each.entry.size or 0, each.stored, each.unique))
        rows.append([run_id, Cell(each.entry.kind), *map(Cell, numbers), Cell(harmless(path_text(each.entry.path)))])
    return rows


def _object(usage: RunUsage, detailed: bool) -> dict[str, Any]:
    paths = [
        {
            "path": path_text(each.entry.path), "kind": each.entry.kind, "bytes": each.entry.size,
            "stored_bytes": each.stored, "unique_bytes": each.unique, "shared_bytes": each.stored - each.unique,
        }
        for each in usage.paths
    ]  # fmt: skip
    return {
        "id": usage.run.id, "name": usage.run.summary.name or None, "removed": usage.removed, "files": usage.files,
        "bytes": usage.bytes, "stored_bytes": usage.stored, "unique_bytes": usage.unique,
        "shared_bytes": usage.stored - usage.unique, "problem": usage.problem, "paths": paths if detailed else None,
    }  # fmt: skip


def _store(store: StoreUsage) -> dict[str, int]:
    return {
        "bytes": store.bytes, "packs": store.packs, "blobs": store.blobs, "unneeded_bytes": store.unneeded
    }  # fmt: skip
