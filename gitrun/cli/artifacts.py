"""`gitrun artifacts`: the files a run read and wrote."""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Any

import typer

from gitrun.archive.entries import Entry
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.archive.since import entries_of
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.ui.table import Cell, print_lines, print_table
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import size

_TITLES = ("KIND", "SIZE", "STORED", "EVIDENCE", "FROM", "PATH")


def register(app: typer.Typer) -> None:
    """Add `artifacts` to the application."""
    app.command("artifacts")(artifacts)


def artifacts(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """List the files a run read and wrote, and which of them are stored.

    A table on a terminal, lines with tabs between fields in a pipe: kind, type, bytes, sha256, `stored` or the reason
    why not, evidence, the run that produced it, path. A directory of many files that were read is one line. Of several
    runs the id of each stands before all that.
    """
    with open_archive() as archive:
        runs = list(archive.with_records(resolve_many(archive, [run])))
        entries = [(found.id, entry) for found in runs for entry in entries_of(found)]
    screen, many = stdout(), len(runs) > 1
    if json:
        print_json([_object(run_id, entry) for run_id, entry in entries])
    elif screen.is_terminal and entries:
        first = ["RUN"] if many else []
        rows = [[*([Cell(short(run_id), "bold")] if many else []), *_row(entry)] for run_id, entry in entries]
        print_table(screen, [*first, *_TITLES], rows)
    elif entries:
        print_lines(screen, ([*([run_id] if many else []), *_fields(entry)] for run_id, entry in entries))
    if not entries:
        stderr().line(f"gitrun: no files are recorded of {plural(len(runs), 'run') if many else f'run {runs[0].id}'}")
    elif screen.is_terminal:
        stored = [entry for _, entry in entries if entry.stored]
        total = size(sum(entry.size or 0 for entry in stored))
        said = f"{plural(len(stored), 'file')} stored, {total}"
        stderr().line(f"gitrun: {said}; next: gitrun get {quote(run) if many else short(runs[0].id)} PATH")


def _object(run_id: str, entry: Entry) -> dict[str, Any]:
    """One entry for programs; every key is always there."""
    more = {key: entry.facts.get(key) for key in ("mode", "evidence", "level", "target")}
    return {
        **more, "run": run_id, "path": path_text(entry.path), "kind": entry.kind, "type": entry.type,
        "bytes": entry.size, "sha256": entry.sha256, "stored": entry.stored, "reason": entry.reason,
        "produced_by": entry.produced_by, "overwritten": entry.facts.get("overwritten") is True,
    }  # fmt: skip


def _fields(entry: Entry) -> list[str]:
    return [
        entry.kind,
        entry.type,
        "" if entry.size is None else str(entry.size),
        entry.sha256 or "",
        _state(entry),
        _evidence(entry),
        entry.produced_by or "",
        harmless(path_text(entry.path)),
    ]


def _row(entry: Entry) -> list[Cell]:
    style = None if entry.stored else "yellow"
    return [
        Cell(entry.kind),
        Cell("" if entry.size is None else size(entry.size)),
        Cell("yes" if entry.stored else _state(entry), style),
        Cell(_evidence(entry)),
        Cell(short(entry.produced_by or "")),
        Cell(harmless(path_text(entry.path))),
    ]


def _state(entry: Entry) -> str:
    return "stored" if entry.stored else harmless(entry.reason or "not stored", 60)


def _evidence(entry: Entry) -> str:
    return harmless(str(entry.facts.get("evidence") or ""), 40)
