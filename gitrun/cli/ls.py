"""`gitrun ls`: the runs of this archive, newest first."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.contract import describe_unreadable
from gitrun.archive.run import Run
from gitrun.cli.common import JSON_HELP, open_archive, print_json
from gitrun.errors import GitrunError, UsageError
from gitrun.ui.table import Cell, print_csv, print_lines, print_table
from gitrun.ui.terminal import STATUS_STYLE, Screen, stderr, stdout
from gitrun.ui.words import duration, local_time, plural

TERMINAL_LIMIT = 50
PARTS = ("config.json", "environment.json", "hardware.json", "extra.jsonl")
COLUMNS = ("id", "name", "status", "exit", "started_at", "duration_s", "changes", "group", "tags", "parent", "command")
_TITLES = ("RUN", "NAME", "GROUP", "PARENT", "STATUS", "STARTED", "TOOK", "DIRTY", "COMMAND")
_SELDOM = ("GROUP", "PARENT")  # columns of a table that are there when one of its runs has such a thing


def register(app: typer.Typer) -> None:
    """Add `ls` to the application."""
    app.command("ls")(ls)


def ls(
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=0, help="Show at most N runs (a terminal shows 50; 0 shows all).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header line.")] = False,
) -> None:
    """List runs, newest first.

    A table on a terminal, lines with tabs between fields in a pipe. The fields of a line (and of --csv):
    id, name, status, exit, start (UTC), seconds, changed files, group, tags, parent, command. Runs that cannot
    be read are listed too, marked `damaged`. `parent` is the run inside which a run was recorded.
    """
    if json and csv:
        raise UsageError("--json and --csv exclude each other", next="gitrun ls --help")
    screen = stdout()
    as_table = screen.is_terminal and not json and not csv
    wanted = TERMINAL_LIMIT if limit is None and as_table else limit or None
    with open_archive() as archive:
        runs = itertools.islice(archive.newest_first(), wanted)
        if json:
            print_json(list(_objects(archive, runs)))
        elif csv:
            print_csv(sys.stdout, COLUMNS, map(_fields, runs))
        elif as_table:
            _table(screen, archive, list(runs), limit)
        else:
            print_lines(screen, map(_fields, runs))
        _note_foreign(archive)


def _objects(archive: Archive, runs: Iterable[Run]) -> Iterator[dict[str, Any]]:
    for run in archive.with_records(runs, PARTS):
        try:
            yield {**run.to_json(full=False), "problem": None}
        except GitrunError as problem:
            code, what = run.problem or ("E014", problem.message)
            status = run.summary.status if code == "W012" else "damaged"
            yield describe_unreadable(run.id, status, run.summary.name or None, {"code": code, "what": what})


def _fields(run: Run) -> list[str]:
    summary = run.summary
    return [
        run.id,
        summary.name,
        "damaged" if _is_damaged(run) else summary.status,
        summary.exit,
        summary.started,
        "" if summary.duration_s is None else f"{summary.duration_s:.3f}",
        "" if summary.changes is None else str(summary.changes),
        summary.group,
        ",".join(summary.tags),
        summary.parent,
        f"{run.problem.code} {run.problem.what}" if run.problem else summary.command,
    ]


def _is_damaged(run: Run) -> bool:
    return run.problem is not None and run.problem.code.startswith("E")


def _table(screen: Screen, archive: Archive, runs: list[Run], limit: int | None) -> None:
    if not runs:
        stderr().line("no runs yet; next: gitrun record -- COMMAND")
        return
    rows = [dict(zip(_TITLES, _row(run), strict=True)) for run in runs]
    titles = [title for title in _TITLES if title not in _SELDOM or any(row[title].text for row in rows)]
    print_table(screen, titles, [[row[title] for title in titles] for row in rows])
    hidden = len(archive.run_ids()) - len(runs)
    if hidden > 0 and limit is None:
        stderr().line(f"{plural(hidden, 'older run')} not shown; next: gitrun ls --limit 0")


def _row(run: Run) -> list[Cell]:
    summary = run.summary
    status = "damaged" if _is_damaged(run) else summary.status
    shown = f"{status} ({summary.exit})" if status == "failed" and summary.exit else status
    text = f"{run.problem.code} {run.problem.what}" if run.problem else summary.command
    return [
        Cell(run.id[-6:], "bold"),
        Cell(summary.name),
        Cell(summary.group),
        Cell(summary.parent[-6:]),
        Cell(shown, STATUS_STYLE.get(status)),
        Cell(local_time(summary.started)[: len("YYYY-MM-DD HH:MM")]),
        Cell(duration(summary.duration_s)),
        Cell(str(summary.changes) if summary.changes else ""),
        Cell(text),
    ]


def _note_foreign(archive: Archive) -> None:
    foreign = archive.foreign_refs()
    if foreign:
        count = plural(len(foreign), "ref")
        stderr().line(f"gitrun: {count} where runs are kept, and no run, left alone (W013); next: gitrun status")
