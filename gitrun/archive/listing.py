"""Lists of runs: which ones, in which order, under which columns, or put together in groups.

A list shows what tells its runs apart: the config keys in which they differ, and a few metrics, first those that were
asked about. Whoever names columns gets these and no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.archive.chains import last_legs, legs
from gitrun.archive.keys import Key
from gitrun.archive.querying import Runs, parse_best, rank
from gitrun.errors import UsageError

METRICS = 3
AGGREGATES = ("mean", "std", "n", "min", "max", "median")
RESUMED_FROM = Key("resumed_from")
LEGS = "legs"  # how many legs a resumed run has had, itself included
Row = dict[str, Any]  # the value under each key, as the key is written; a run without it has none


class Query(NamedTuple):
    """What a list is asked for, in the words of the command line; empty where nothing was said."""

    where: str = ""
    sort: str = ""
    best: str = ""
    by: str = ""
    columns: str = ""
    limit: int | None = None
    legs: bool = False  # every leg of a resumed run, not the last alone


class Listing(NamedTuple):
    """Runs in their order: the columns that were asked for (or None), those that tell them apart, a row for each."""

    ids: list[str]
    columns: list[Key] | None
    extra: list[Key]
    rows: list[Row]
    hidden: int


class Group(NamedTuple):
    """Runs with equal values under the keys of the grouping; `numbers` has those of each metric."""

    values: list[Any]
    ids: list[str]
    numbers: list[list[float]]


class Grouping(NamedTuple):
    """Groups in their order, under these keys, with the numbers of these metrics."""

    by: list[Key]
    metrics: list[Key]
    groups: list[Group]


def listing(runs: Runs, query: Query, fields: Sequence[str], *, telling: bool = True) -> Listing:
    """The runs that a query means, with the `fields` of each, and where `telling` what tells them apart.

    Raises ExpressionError and UsageError.
    """
    ids, asked = _selected(runs, query)
    if query.best:
        ids = _best(runs, query, ids)
    if query.sort:
        ids = _sorted(runs, query.sort, ids)
    shown = ids if query.limit is None else ids[: query.limit]
    columns = runs.keys(query.columns) if query.columns else None
    extra = _telling(runs, query, asked, shown) if telling and columns is None else []
    keys = [*map(Key, fields), *(columns if columns is not None else extra)]
    rows = runs.rows(shown, keys)
    for run_id, row in zip(shown, rows, strict=True):
        if (count := len(legs(run_id, runs.column(RESUMED_FROM)))) > 1:
            row[LEGS] = count
    return Listing(shown, columns, extra, rows, len(ids) - len(shown))


def grouping(runs: Runs, query: Query) -> Grouping:
    """The runs that a query means in groups, ordered by their values or by the mean of the metric to sort by."""
    ids, asked = _selected(runs, query)
    by = runs.keys(query.by)
    metrics = runs.keys(query.columns) if query.columns else _metrics(runs, [*asked, *_sort_keys(runs, query)], ids)
    members: dict[str, list[str]] = {}
    columns = [runs.column(key) for key in by]
    for run_id in ids:
        members.setdefault(repr([column.get(run_id) for column in columns]), []).append(run_id)
    numbers = [runs.column(key) for key in metrics]
    groups = [
        Group([column.get(some[0]) for column in columns], some, [_numbers(column, some) for column in numbers])
        for some in members.values()
    ]
    groups.sort(key=lambda group: [rank(value) or (9,) for value in group.values])
    if query.sort:
        _sort_groups(groups, by, metrics, *_sort_key(runs, query.sort))
    return Grouping(by, metrics, groups if query.limit is None else groups[: query.limit])


def aggregate(name: str, numbers: list[float]) -> float | int | None:
    """One of `AGGREGATES` of the numbers of a group; None where there are too few for it."""
    count = len(numbers)
    if name == "n":
        return count
    if not count or (name == "std" and count < 2):
        return None
    if name in ("mean", "std"):
        mean = math.fsum(numbers) / count if all(map(math.isfinite, numbers)) else sum(numbers) / count
        return mean if name == "mean" else math.sqrt(sum((n - mean) ** 2 for n in numbers) / (count - 1))
    if any(map(math.isnan, numbers)):
        return math.nan
    ordered = sorted(numbers)
    if name == "median":
        return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return ordered[0] if name == "min" else ordered[-1]


def parse_aggregates(text: str) -> list[str]:
    """The names in a list with commas; raises UsageError for one that is none."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in AGGREGATES:
            raise UsageError(f"{name!r} is none of {', '.join(AGGREGATES)}", next="gitrun ls --help")
    return names


def _selected(runs: Runs, query: Query) -> tuple[list[str], list[Key]]:
    """The runs that meet the expression, and the keys it asks for."""
    ids, asked = runs.ids, list[Key]()
    if query.where:
        condition = runs.condition(query.where)
        ids, asked = runs.meeting(condition), list(condition.keys())
    return ids if query.legs else last_legs(ids, runs.column(RESUMED_FROM)), asked


def _best(runs: Runs, query: Query, ids: list[str]) -> list[str]:
    """The best run, or that of each group."""
    greatest, name = parse_best(query.best)
    key = runs.key(name)
    groups = [ids]
    if query.by:
        groups = [group.ids for group in grouping(runs, query._replace(best="", sort="", limit=None)).groups]
    found = (runs.best(group, key, greatest) for group in groups)
    return [run_id for run_id in found if run_id is not None]


def _sort_key(runs: Runs, text: str) -> tuple[Key, bool]:
    descending = text.startswith("-")
    return runs.key(text.removeprefix("-")), descending


def _sort_keys(runs: Runs, query: Query) -> list[Key]:
    return [_sort_key(runs, query.sort)[0]] if query.sort else []


def _sorted(runs: Runs, text: str, ids: list[str]) -> list[str]:
    key, descending = _sort_key(runs, text)
    return runs.sort(ids, key, descending)


def _telling(runs: Runs, query: Query, asked: list[Key], ids: list[str]) -> list[Key]:
    """What tells runs apart: the grouping, the config keys in which they differ, a few metrics."""
    named = [*asked, *_sort_keys(runs, query), *([runs.key(parse_best(query.best)[1])] if query.best else [])]
    by = runs.keys(query.by) if query.by else []
    return list(dict.fromkeys(_bare([*by, *runs.differing(ids), *_metrics(runs, named, ids)])))


def _metrics(runs: Runs, named: Iterable[Key], ids: list[str]) -> list[Key]:
    """The metrics that were named, and up to three in all."""
    chosen = dict.fromkeys(_bare(key for key in named if key.name.startswith("metrics.")))
    for key in runs.metrics(ids):
        if len(chosen) >= METRICS:
            break
        chosen[key] = None
    return list(chosen)


def _bare(keys: Iterable[Key]) -> list[Key]:
    """The keys without the places where they were typed, so that equal ones are equal."""
    return [key._replace(at=0) for key in keys]


def _numbers(column: Mapping[str, Any], ids: list[str]) -> list[float]:
    found = (column.get(run_id) for run_id in ids)
    return [float(value) for value in found if isinstance(value, (int, float)) and type(value) is not bool]


def _sort_groups(groups: list[Group], by: list[Key], metrics: list[Key], key: Key, descending: bool) -> None:
    """Order groups by one of their values, else by the mean of a metric; those without it come last."""
    places = {key._replace(at=0): place for place, key in enumerate(by)}
    means = {key._replace(at=0): place for place, key in enumerate(metrics)}
    bare = key._replace(at=0)
    if bare not in places and bare not in means:
        raise UsageError(f"groups have no {key} to be sorted by", next="gitrun ls --help")

    def value(group: Group) -> Any:
        return group.values[places[bare]] if bare in places else aggregate("mean", group.numbers[means[bare]])

    having = [group for group in groups if rank(value(group)) is not None]
    rest = [group for group in groups if rank(value(group)) is None]
    groups[:] = sorted(having, key=lambda group: rank(value(group)) or (9,), reverse=descending) + rest
