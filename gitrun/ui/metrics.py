"""The metrics of a run for people: a list with sparklines, and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gitrun.archive.harmless import harmless
from gitrun.model.ids import short
from gitrun.ui.plot import BRAILLE, SPARKS, overlay, plot, sparkline
from gitrun.ui.table import Cell, print_table
from gitrun.ui.terminal import Screen

if TYPE_CHECKING:
    import pyarrow as pa

    from gitrun.archive.metrics import Bucket

_TITLES = ("METRIC", "LAST", "STEP", "MIN", "MAX", "POINTS", "CURVE")
_LONGEST_NAME = 60
ON_PAGE = 12  # of the page of a run
_WIDTH, _HEIGHT = 72, 12
_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST_CURVES = len(_LETTERS)
_MARGIN = 16


def each_metric(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The points of each metric of a table that is sorted by name."""
    import pyarrow.compute as pc

    at = 0
    for count in pc.run_end_encode(table["name"].combine_chunks()).run_ends.to_pylist() if table.num_rows else []:
        part = table.slice(at, count - at)
        yield part["name"][0].as_py(), part
        at = count


def summaries_of(table: pa.Table) -> dict[str, dict[str, Any]]:
    """What is known of each metric as a whole."""
    from gitrun.model.metric_tables import summarise

    return {name: summarise(part) for name, part in each_metric(table)}


def sparklines_of(table: pa.Table, count: int = SPARKS, plain: bool = False) -> dict[str, str]:
    """A sparkline of each metric."""
    return {name: sparkline(_buckets(part, count), plain) for name, part in each_metric(table)}


def print_list(screen: Screen, table: pa.Table) -> None:
    """One line for each metric."""
    sparks = sparklines_of(table, plain=not draws_blocks(screen))
    rows = [
        [
            Cell(harmless(name, _LONGEST_NAME), "bold"),
            *(Cell(number(one[key])) for key in ("last", "last_step", "min", "max", "count")),
            Cell(sparks[name], "cyan"),
        ]
        for name, one in summaries_of(table).items()
    ]
    print_table(screen, _TITLES, rows)


def metric_lines(
    metrics: dict[str, Any], summary: dict[str, Any], curves: dict[str, str], run_id: str
) -> Iterator[tuple[str, str]]:
    """Metrics on the page of a run, and what its program said at the end."""
    for name in sorted(metrics)[:ON_PAGE]:
        one = metrics[name]
        ends = f"{number(one.get('min'))} … {number(one.get('max'))}"
        at = f" at step {number(one.get('last_step'))}" if one.get("last_step") is not None else ""
        yield name, f"{number(one.get('last'))}{at}, {ends}  {curves.get(name, '')}".rstrip()
    if len(metrics) > ON_PAGE:
        yield "", f"… and {len(metrics) - ON_PAGE:,} more; gitrun metrics {short(run_id)}"
    for name, value in list(summary.items())[:ON_PAGE]:
        yield f"summary {name}", number(value) or str(value)


def print_plots(screen: Screen, table: pa.Table) -> None:
    """A curve of each metric."""
    plain = not draws_blocks(screen)
    width = max(10, min(_WIDTH, screen.width - _MARGIN))
    for place, (name, part) in enumerate(each_metric(table)):
        if place:
            screen.line()
        screen.line(f"{screen.style(harmless(name, _LONGEST_NAME), 'bold')}  {_ends(part)}")
        for line in plot(_buckets(part, width if plain else 2 * width), width, _HEIGHT, plain):
            screen.line(line)


def print_overlay(screen: Screen, table: pa.Table, labels: Mapping[str, str]) -> None:
    """The curves that several runs have of each metric, over the same axes; `labels` says what a run is, by its id.

    `table` has a column `run`. Where there are colours for all, each curve has one of its own, else a letter.
    """
    import pyarrow.compute as pc

    runs = list(labels)[:MOST_CURVES]
    in_colour = screen.colour and len(runs) <= len(_COLOURS) and draws_blocks(screen)
    width = max(10, min(_WIDTH, screen.width - _MARGIN))
    for place, name in enumerate(sorted(table["name"].unique().to_pylist())):
        of_name = table.filter(pc.equal(table["name"], name))
        parts = {run: of_name.filter(pc.equal(of_name["run"], run)).drop_columns(["run"]) for run in runs}
        curves = [_buckets(parts[run], 2 * width if in_colour else width) for run in runs]
        if place:
            screen.line()
        screen.line(screen.style(harmless(name, _LONGEST_NAME), "bold"))
        for line in overlay(curves, width, _HEIGHT, not in_colour, lambda n, dots: _mark(screen, in_colour, n, dots)):
            screen.line(line)
        for number_, run in enumerate(runs):
            if parts[run].num_rows:
                screen.line(f"  {_legend(screen, in_colour, number_)} {labels[run]}  {_ends(parts[run])}")


def _mark(screen: Screen, in_colour: bool, number_: int, dots: int) -> str:
    return screen.style(chr(BRAILLE + dots), _COLOURS[number_]) if in_colour else _LETTERS[number_]


def _legend(screen: Screen, in_colour: bool, number_: int) -> str:
    return screen.style("━", _COLOURS[number_]) if in_colour else _LETTERS[number_]


def _ends(points: pa.Table) -> str:
    """The last, least and largest value of a curve, in words."""
    from gitrun.model.metric_tables import summarise

    one = summarise(points)
    return f"last {number(one['last'])}, min {number(one['min'])}, max {number(one['max'])}, {one['count']:,} points"


def number(value: Any) -> str:
    """A number in few digits; empty for what is none."""
    if type(value) is int:
        return str(value)
    return f"{value:.6g}" if type(value) is float else ""


def draws_blocks(screen: Screen) -> bool:
    """Whether the screen has more than ASCII."""
    try:
        "▁⣿│".encode(screen.stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _buckets(points: pa.Table, count: int) -> list[Bucket]:
    from gitrun.archive.metrics import buckets
    from gitrun.model.metric_tables import leading

    return buckets(leading(points), count)
