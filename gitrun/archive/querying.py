"""Questions about all runs of an archive: which meet an expression, which is best, in what they differ.

The index answers for sealed runs. Those being recorded are few and change every moment, so they are read when asked
and laid over it. Both give columns, and everything here works on columns: the value of a key by the id of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gitrun.archive.archive import Archive
from gitrun.archive.columns import LiveFacts, decoder
from gitrun.archive.expressions import Condition, parse
from gitrun.archive.index_db import Index, with_index
from gitrun.archive.keys import DERIVED, FIELDS, PARTS_OF_METRIC, SPACES, Key, complaint, near, parse_keys
from gitrun.errors import UsageError
from gitrun.model.ids import second

T = TypeVar("T")


class Runs:
    """All runs of an archive as columns."""

    def __init__(self, index: Index, live: dict[str, LiveFacts]) -> None:
        self._index = index
        self._live = live
        self._columns: dict[Key, dict[str, Any]] = {}
        self._keys: list[str] | None = None
        self.ids = self._newest_first(sorted({*index.ids, *live}, reverse=True) if live else index.ids)

    def _newest_first(self, ids: list[str]) -> list[str]:
        """Runs of one second in the order of their start times, which alone can order them."""
        if len({second(run_id) for run_id in ids}) == len(ids):
            return ids
        started = self.column(Key("started"))
        return sorted(ids, key=lambda run_id: (second(run_id), started.get(run_id, ""), run_id), reverse=True)

    def column(self, key: Key) -> dict[str, Any]:
        """The value of a key for each run that has one."""
        key = key._replace(at=0)
        if key not in self._columns:
            column, decode = self._index.column(key), decoder(key)
            for run_id, facts in self._live.items():
                value = (facts.fields if key.name in FIELDS else facts.values).get(key.name)
                if value is not None:
                    column[run_id] = decode(value)
            self._columns[key] = column
        return self._columns[key]

    def rows(self, run_ids: Sequence[str], keys: Iterable[Key]) -> list[dict[str, Any]]:
        """For each run the values under keys as they are written; what it lacks is left out."""
        names = [key.name for key in keys if key.name in FIELDS and key.name not in DERIVED]
        columns = [(str(key), self.column(key)) for key in keys if key.name not in names]
        found = self._index.fields(run_ids, names)
        for run_id in self._live.keys() & set(run_ids):
            found[run_id] = {name: decoder(Key(name))(self._live[run_id].fields[name]) for name in names}
        for name, column in columns:
            for run_id in run_ids:
                if run_id in column:
                    found[run_id][name] = column[run_id]
        return [found[run_id] for run_id in run_ids]

    def known_keys(self) -> list[str]:
        """The keys that some run has, besides the fields that all have."""
        if self._keys is None:
            self._keys = sorted({*self._index.keys(), *(name for live in self._live.values() for name in live.values)})
        return self._keys

    def condition(self, text: str) -> Condition:
        """What an expression means; raises ExpressionError, also for a key that no run has."""
        condition = parse(text, time.time())
        self._check(text, condition.keys())
        return condition

    def select(self, text: str) -> list[str]:
        """The runs that meet an expression, newest first; raises as `condition`."""
        return self.meeting(self.condition(text))

    def meeting(self, condition: Condition) -> list[str]:
        """The runs that meet a condition, newest first."""
        found = condition.among(frozenset(self.ids), self.column)
        return [run_id for run_id in self.ids if run_id in found]

    def keys(self, text: str) -> list[Key]:
        """The keys in a list with commas; `loss` alone stands for `metrics.loss` where that is the only such key."""
        keys = [self._in_full(key) for key in parse_keys(text)]
        self._check(text, keys)
        return keys

    def key(self, text: str) -> Key:
        """The one key that `text` names, as in `keys`."""
        found = self.keys(text)
        if len(found) > 1:
            raise complaint(text, found[1].at, "one key is meant here")
        return found[0]

    def sort(self, run_ids: Iterable[str], key: Key, descending: bool = False) -> list[str]:
        """The runs in the order of a key; those without it, or that are not a number there, come last."""
        column = self.column(key)
        ranked = [(place, run_id) for run_id in run_ids if (place := rank(column.get(run_id))) is not None]
        ranked.sort(key=lambda pair: pair[0], reverse=descending)
        placed = {run_id for _, run_id in ranked}
        return [*(run_id for _, run_id in ranked), *(run_id for run_id in run_ids if run_id not in placed)]

    def best(self, run_ids: Iterable[str], key: Key, greatest: bool) -> str | None:
        """The run with the greatest or least number, the first of equals; None where none has one."""
        column = self.column(key)
        found: str | None = None
        for run_id in run_ids:
            value = column.get(run_id)
            if type(value) not in (int, float) or value != value:
                continue  # not a number, or no number at all
            if found is None or (value > column[found] if greatest else value < column[found]):
                found = run_id
        return found

    def differing(self, run_ids: Sequence[str]) -> list[Key]:
        """The config keys that these runs do not all have with one value; runs without any config have no say."""
        values: dict[str, dict[str, Any]] = {}
        asked = set()
        for run_id, name, value in self._values(run_ids):
            if name.startswith("config."):
                values.setdefault(name, {})[run_id] = value
                asked.add(run_id)

        def differs(of_run: dict[str, Any]) -> bool:
            return len(of_run) < len(asked) or len(set(map(repr, of_run.values()))) > 1

        return [Key(name) for name in sorted(values) if differs(values[name])]

    def metrics(self, run_ids: Sequence[str]) -> list[Key]:
        """The metrics of these runs, those that most of them have first."""
        counts: dict[str, int] = {}
        for _, name, _ in self._values(run_ids):
            if name.startswith("metrics."):
                counts[name] = counts.get(name, 0) + 1
        return [Key(name) for name in sorted(counts, key=lambda name: (-counts[name], name))]

    def _values(self, run_ids: Sequence[str]) -> Iterable[tuple[str, str, Any]]:
        yield from self._index.values(run_ids)
        for run_id in run_ids:
            if run_id in self._live:
                for name, value in self._live[run_id].values.items():
                    yield run_id, name, decoder(Key(name))(value)

    def _in_full(self, key: Key) -> Key:
        if key.name in FIELDS or key.name in self.known_keys():
            return key
        spaces = ("metrics",) if key.of else SPACES
        found = [name for space in spaces if (name := f"{space}.{key.name}") in self.known_keys()]
        return key._replace(name=found[0]) if len(found) == 1 else key

    def _check(self, text: str, keys: Iterable[Key]) -> None:
        for key in keys:
            if key.name in FIELDS and not key.of:
                continue  # every run has it, and what live ones have said need not be read
            if key.of and key.name in self.known_keys() and not key.name.startswith("metrics."):
                raise complaint(text, key.at, f"{' and '.join(PARTS_OF_METRIC)} are of metrics alone")
            if key.name not in self.known_keys():
                raise self._unknown(text, key)

    def _unknown(self, text: str, key: Key) -> Exception:
        known = [name for name in self.known_keys() if name.startswith("metrics.") or not key.of]
        names = [str(Key(name, key.of)) for name in near(key.name, [*known, *(() if key.of else FIELDS)])]
        if names:
            return complaint(text, key.at, f"no run has {key}; there is {', '.join(names)}")
        return complaint(text, key.at, f"no run has {key}")


def ask(archive: Archive, question: Callable[[Runs], T]) -> T:
    """What `question` makes of the runs of an archive; it may be asked again where the index fails."""
    live = {run.id: LiveFacts(run) for run in archive.live_runs()}
    return with_index(archive, lambda index: question(Runs(index, live)))


def parse_best(text: str) -> tuple[bool, str]:
    """Whether the greatest is best, and the key, in `max:KEY` or `min:KEY`; raises UsageError that shows both."""
    direction, colon, key = text.partition(":")
    if colon and key and direction in ("max", "min"):
        return direction == "max", key
    raise UsageError(f"say which way is better: max:{text} or min:{text}", next="gitrun ls --help")


def rank(value: Any) -> tuple[int, Any] | None:
    """By what values of every type are ordered: numbers, then text, then the rest."""
    if value is None or value != value:
        return None
    if type(value) in (int, float, bool):
        return 0, value
    return (1, value) if type(value) is str else (2, str(value))
