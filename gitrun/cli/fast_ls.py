"""`gitrun ls`: the runs of this archive, or those that meet an expression, as a list or in groups.

It is typed all day, so it does without typer as `record` does, and ten thousand runs come from the index.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.contract import describe_unreadable
from gitrun.archive.keys import FIELDS, Key
from gitrun.archive.listing import LEGS, Grouping, Listing, Row, aggregate, grouping, listing, parse_aggregates
from gitrun.archive.querying import ask
from gitrun.cli.common import open_archive, print_json
from gitrun.cli.ls_options import Asked, ls_help, parse_ls
from gitrun.cli.problems import guarded
from gitrun.errors import GitrunError
from gitrun.model.listing import plural
from gitrun.ui.table import Cell, print_csv, print_lines, print_table
from gitrun.ui.terminal import STATUS_STYLE, Screen, stderr, stdout
from gitrun.ui.values import brief, exact, number

TERMINAL_LIMIT = 50
MOST_COLUMNS = 8  # of config keys in a table
PARTS = ("config.json", "environment.json", "hardware.json", "extra.jsonl")
FIELDS_OF_LINE = (
    *("id", "name", "status", "exit", "started", "duration", "changes", "group", "tag", "parent", "command"),
)
_HEADER_OF_LINE = {"started": "started_at", "duration": "duration_s", "tag": "tags"}
_TITLES = {LEGS: "LEGS", "id": "RUN", "started": "STARTED", "duration": "TOOK", "changes": "DIRTY"}
_FIRST = ("id", "name", "group", "parent", LEGS, "status", "started", "duration", "changes")
_SELDOM = ("group", "parent", LEGS)  # columns of a table that are there when one of its runs has such a thing


def main(words: list[str]) -> int:
    """Runs `gitrun ls WORDS`; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return guarded(lambda: ls(words))


def ls(words: list[str]) -> int:
    """As `main`, for a caller that has its own way to end; raises GitrunError."""
    asked = parse_ls(words)
    if asked.help:
        print(ls_help(), end="")
        return 0
    screen = stdout()
    with open_archive() as archive:
        if asked.remote:
            from gitrun.cli.ls_remote import list_remote  # with all that talks to a remote

            list_remote(screen, archive, asked)
            return 0
        if asked.query.by and not asked.query.best:
            _groups(screen, archive, asked)
        else:
            _list(screen, archive, asked)
        _note_foreign(archive)
    return 0


def _list(screen: Screen, archive: Archive, asked: Asked) -> None:
    as_table = screen.is_terminal and not asked.form
    wanted, query = asked.query.limit, asked.query
    query = query._replace(
        limit=TERMINAL_LIMIT if wanted is None and as_table else wanted or None,
        legs=query.legs or asked.form == "json",
    )
    fields, telling = [*FIELDS_OF_LINE, "problem"], as_table or asked.form in ("csv", "md", "latex")
    found = ask(archive, lambda runs: listing(runs, query, fields, telling=telling))
    if asked.form == "json":
        print_json(list(_objects(archive, found.ids)))
    elif asked.form == "csv":
        told = [LEGS] if any(LEGS in row for row in found.rows) else []
        columns = found.columns or [*map(Key, [*FIELDS_OF_LINE, *told]), *found.extra]
        header = [_HEADER_OF_LINE.get(str(key), str(key)) for key in columns]
        print_csv(sys.stdout, header, (_line(columns, row) for row in found.rows))
    elif as_table or asked.form:
        _table(screen, asked, found)
        if found.hidden and wanted is None:
            stderr().line(f"{plural(found.hidden, 'older run')} not shown; next: gitrun ls --limit 0")
    else:
        columns = found.columns or list(map(Key, FIELDS_OF_LINE))
        print_lines(screen, (_line(columns, row) for row in found.rows))


def _objects(archive: Archive, run_ids: list[str]) -> Iterator[dict[str, Any]]:
    runs = {run.id: run for run in archive.with_records(archive.runs(run_ids), PARTS)}
    for run in map(runs.__getitem__, run_ids):
        try:
            yield {**run.to_json(full=False), "problem": None}
        except GitrunError as problem:
            code, what = run.problem or ("E014", problem.message)
            status = run.summary.status if code == "W012" else "damaged"
            yield describe_unreadable(run.id, status, run.summary.name or None, {"code": code, "what": what})


def _line(columns: Sequence[Key], row: Row) -> list[str]:
    return [exact(key, _value(key, row)) for key in columns]


def _value(key: Key, row: Row) -> Any:
    """What stands under a key; for the command of a run that cannot be read, why."""
    return (row.get("problem") if key.name == "command" else None) or row.get(str(key))


def _table(screen: Screen, asked: Asked, found: Listing) -> None:
    columns = found.columns
    if columns is None:
        first = [Key(n) for n in _FIRST if n not in _SELDOM or any(row.get(n) is not None for row in found.rows)]
        extra = found.extra if len(found.extra) <= MOST_COLUMNS + 3 else _fewer(found.extra)
        columns = [*first, *extra, Key("command")]
    titles = [_title(key, found.columns is not None) for key in columns]
    rows = [[_cell(key, row) for key in columns] for row in found.rows]
    if not rows and not asked.form:
        everything = not asked.query.where
        stderr().line("no runs yet; next: gitrun record -- COMMAND" if everything else "no run meets that")
        return
    _print(screen, asked.form, titles, rows)


def _fewer(keys: list[Key]) -> list[Key]:
    config = [key for key in keys if key.name.startswith("config.")]
    stderr().line(f"{plural(len(config) - MOST_COLUMNS, 'config key')} more differ; --columns shows them, --csv all")
    return [key for key in keys if key not in config[MOST_COLUMNS:]]


def _title(key: Key, as_typed: bool) -> str:
    if key.name in FIELDS or key.name in _TITLES:
        return _TITLES.get(key.name, key.name.upper())
    return str(key) if as_typed else key.short


def _cell(key: Key, row: Row) -> Cell:
    value = _value(key, row)
    if key.name == "id":
        return Cell(brief(key, value), "bold")
    if key.name == "status":
        shown = f"{value} ({row['exit']})" if value == "failed" and row.get("exit") is not None else str(value)
        return Cell(shown, STATUS_STYLE.get(str(value)))
    return Cell(brief(key, value))


def _print(screen: Screen, form: str, titles: list[str], rows: list[list[Cell]]) -> None:
    if form in ("md", "latex"):
        from gitrun.ui.markup import print_latex, print_markdown  # seldom asked for

        (print_markdown if form == "md" else print_latex)(screen, titles, [[cell.text for cell in row] for row in rows])
    else:
        print_table(screen, titles, rows)


def _groups(screen: Screen, archive: Archive, asked: Asked) -> None:
    names, query = parse_aggregates(asked.agg), asked.query._replace(limit=asked.query.limit or None)
    found = ask(archive, lambda runs: grouping(runs, query))
    if asked.form == "json":
        print_json(list(_group_objects(found, names)))
        return
    per_metric = [name for name in names if name != "n"]
    first = [str(key) for key in found.by]
    header = [*first, *(["n"] if "n" in names else []), *(f"{k} {n}" for k in found.metrics for n in per_metric)]
    as_table = (screen.is_terminal and not asked.form) or asked.form in ("md", "latex")
    value, figure = (brief, number) if as_table else (exact, lambda n: exact(Key(""), n))
    rows = [
        [
            *map(value, found.by, group.values),
            *([str(len(group.ids))] if "n" in names else []),
            *(figure(aggregate(name, numbers)) for numbers in group.numbers for name in per_metric),
        ]
        for group in found.groups
    ]
    if asked.form == "csv":
        print_csv(sys.stdout, header, rows)
    elif as_table:
        short = [key.short for key in found.by] + header[len(first) :]
        _print(screen, asked.form, short, [[Cell(text) for text in row] for row in rows])
    else:
        print_lines(screen, rows)


def _group_objects(found: Grouping, names: list[str]) -> Iterator[dict[str, Any]]:
    for group in found.groups:
        metrics = {
            str(key): {name: aggregate(name, numbers) for name in names}
            for key, numbers in zip(found.metrics, group.numbers, strict=True)
        }
        values = dict(zip(map(str, found.by), group.values, strict=True))
        yield {"by": values, "n": len(group.ids), "metrics": metrics, "runs": group.ids}


def _note_foreign(archive: Archive) -> None:
    foreign = archive.foreign_refs()
    if foreign:
        count = plural(len(foreign), "ref")
        stderr().line(f"gitrun: {count} where runs are kept, and no run, left alone (W013); next: gitrun status")
