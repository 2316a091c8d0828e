"""`gitrun.open`: the runs of an archive, for notebooks and scripts that compare them.

Runs are chosen by the expressions of `gitrun ls`, and one by what `gitrun show` takes. Each question is answered by
what the archive has now, so an archive may stay open while others record into it. Nothing of a run is read before it
is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from gitrun.api.artifacts import Artifacts
from gitrun.api.table import Table
from gitrun.api.telling import Lines
from gitrun.archive import archive as below
from gitrun.archive.contract import content
from gitrun.archive.metrics import long_frame, refuse_missing
from gitrun.archive.querying import ask
from gitrun.archive.run import Run as Record
from gitrun.archive.selectors import resolve
from gitrun.archive.since import entries_of, merged
from gitrun.archive.stitching import read_legs
from gitrun.model.ids import short
from gitrun.recording.points import points_of
from gitrun.recording.so_far import so_far
from gitrun.recording.tidying import seal_the_dead

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 10


def open(path: str | os.PathLike[str] | None = None) -> Archive:
    """The archive of the repository around a directory (default: the current one, or what GITRUN_ARCHIVE names).

    Raises NotARepository and other GitrunErrors.
    """
    environ = dict(os.environ)
    if path is not None:
        environ.pop("GITRUN_ARCHIVE", None)
    start = os.getcwd() if path is None else os.path.abspath(os.fsdecode(path))
    archive = below.Archive.open(start, environ, Lines())
    archive.so_far = so_far
    return Archive(archive)


class Archive:
    """The runs of a repository; `close` it, or use it in a `with` statement."""

    def __init__(self, archive: below.Archive) -> None:
        self._archive = archive

    def runs(self, expression: str = "", *, sort: str = "", limit: int | None = None) -> Runs:
        """The runs that meet an expression (default: all), newest first or by the key `sort` (`-KEY`: largest first).

        Raises ExpressionError for what is none, and for a key that no run has.
        """
        self._look_again()

        def choose(runs: Any) -> list[str]:
            ids = runs.select(expression) if expression else runs.ids
            return runs.sort(ids, runs.key(sort.removeprefix("-")), sort.startswith("-")) if sort else ids  # type: ignore[no-any-return]

        return Runs(self._archive, ask(self._archive, choose)[:limit])

    def __getitem__(self, run: str) -> Run:
        """One run: by its full id or last six characters, its name, `@`, `@~2`, `@best:max:KEY`, `tag:best`.

        Raises RunNotFound, AmbiguousRun or UsageError.
        """
        self._look_again()
        return Run(self._archive, resolve(self._archive, run))

    def close(self) -> None:
        """Let go of the pipe to Git."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<gitrun archive {self._archive.repo.common_dir}>"

    def _look_again(self) -> None:
        seal_the_dead(self._archive)
        self._archive.look_again()


class Run:
    """One run, as it was when it was asked for."""

    def __init__(self, archive: below.Archive, run: Record) -> None:
        self._archive = archive
        self._run = run

    @property
    def id(self) -> str:
        """Its full id."""
        return self._run.id

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""
        name: str | None = self.record.get("name")
        return name

    @property
    def status(self) -> str:
        """`running`, `completed`, `failed`, `interrupted`, `lost` or `unknown`."""
        return str(self.record["status"])

    @property
    def tags(self) -> list[str]:
        """Its tags, those that were given to it later included."""
        return self._run.tags

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` says, with what was said of the run since; raises DamagedRecord or NewerFormat."""
        return merged(self._run.record, self._run.events())

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration: values by name; raises DamagedRecord."""
        values = content(self._run.value("config.json")).get("values")
        return dict(values) if type(values) is dict else {}

    @property
    def summary(self) -> dict[str, Any]:
        """What the program said with `gitrun.summary`."""
        return dict(self.record.get("summary") or {})

    @property
    def artifacts(self) -> Artifacts:
        """The files it read and wrote, or handed over, as far as they are recorded; raises DamagedRecord."""
        return Artifacts(self._archive, self._run, entries_of(self._run))

    def metrics(self, *names: str, leg: bool = False) -> Table:
        """All points of these metrics (default: of all), in order: name, step, time, value, rank.

        Of a run that goes on from others the points of all of them, those that were undone left out; with `leg` only
        its own. Raises GitrunError for a metric that it has not logged.
        """
        read = points_of if leg else self._with_earlier_legs
        table = read(self._run, names or None)
        next = f"gitrun metrics {short(self.id)}"
        refuse_missing(names, table, lambda: [read(self._run, None)], f"run {self.id} has no", next)
        return Table(table)

    def to_json(self) -> dict[str, Any]:
        """The run as `gitrun show --json` prints it."""
        return self._run.to_json()

    def __repr__(self) -> str:
        summary = self._run.summary
        return f"<gitrun run {self.id} {summary.status}{f' {summary.name!r}' if summary.name else ''}>"

    def _with_earlier_legs(self, run: Record, names: Any) -> pa.Table:
        return read_legs(self._archive, run, names, points_of)


class Runs(Sequence[Run]):
    """Some runs in their order."""

    def __init__(self, archive: below.Archive, ids: list[str]) -> None:
        self._archive = archive
        self._ids = ids

    @property
    def ids(self) -> list[str]:
        """Their full ids."""
        return list(self._ids)

    def metrics(self, *names: str, config: Sequence[str] | None = None) -> Table:
        """The points of these metrics (default: of all) of all runs, one run below the other.

        Columns: run (its id), name, step, time, value, rank, and a column `config.KEY` for each of `config` (default:
        for each key in which the runs differ). Raises GitrunError for a metric that none of them has logged.
        """
        runs = list(self._archive.with_records(self._records(), ("config.json",)))
        table = long_frame(runs, names or None, config, points_of)
        if runs:
            everything = (points_of(run) for run in runs)
            refuse_missing(names, table, lambda: everything, "none of these runs has a", "gitrun metrics --help")
        return Table(table)

    def to_arrow(self) -> pa.Table:
        """A row for each run, as a `pyarrow.Table`: what `gitrun ls` knows of every run, then `config.KEY`,
        `metrics.KEY` (the last value) and `summary.KEY` for each key that one of them has."""
        return self._table().to_arrow()

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`; raises ImportError where pandas is not installed."""
        return self._table().to_pandas()

    def to_polars(self) -> Any:
        """The same as a `polars.DataFrame`; raises ImportError where polars is not installed."""
        return self._table().to_polars()

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Runs: ...
    def __getitem__(self, at: int | slice) -> Run | Runs:
        if isinstance(at, slice):
            return Runs(self._archive, self._ids[at])
        return Run(self._archive, self._archive.runs([self._ids[at]])[0])

    def __iter__(self) -> Iterator[Run]:
        for run in self._archive.with_records(self._records()):
            yield Run(self._archive, run)

    def __repr__(self) -> str:
        shown = ", ".join(self._ids[:_SHOWN]) + (", …" if len(self) > _SHOWN else "")
        return f"<{len(self):,} gitrun runs: {shown}>"

    def _records(self) -> list[Record]:
        found = {run.id: run for run in self._archive.runs(self._ids)}
        return [found[run_id] for run_id in self._ids]

    def _table(self) -> Table:
        from gitrun.api.columns import table_of

        return Table(ask(self._archive, lambda runs: table_of(runs, self._ids)))
