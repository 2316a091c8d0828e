"""Which file of a replay stands for which file of the run.

Nearly always the one with the same path. Where a documented rule says how a name varies, the files behind one mask
belong together in their order, and the same directory must stand for the same directory throughout: files that
swapped places between two versions are not the same result. What is left over is paired by content, then by a
blurred path, only to tell a renamed file from a missing and an extra one: it differs in any case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from gitrun.archive.entries import Entry
from gitrun.replay.naming import Masked, blurred, explained, natural

_Key = Callable[[Entry], Hashable | None]


class Pair(NamedTuple):
    """A file of the run and what stands for it; None where that side has nothing.

    `rule` is the sentence that explains why the two have different names.
    """

    recorded: Entry | None
    replayed: Entry | None
    rule: str | None = None

    @property
    def path(self) -> bytes:
        """Where it lies now, else where it lay."""
        entry = self.replayed or self.recorded
        assert entry is not None  # a pair of nothing is never made
        return entry.path

    @property
    def renamed_from(self) -> bytes | None:
        """Its path in the run, where it has another one now."""
        if self.recorded is None or self.replayed is None or self.recorded.path == self.replayed.path:
            return None
        return self.recorded.path


def pair(recorded: Iterable[Entry], replayed: Iterable[Entry], hosts: Sequence[bytes] = ()) -> list[Pair]:
    """Every entry of both sides in exactly one pair, sorted by path; `hosts` are names of machines to blur."""
    work = _Pairing(list(recorded), list(replayed))
    work.by_rule()
    keys: tuple[_Key, ...] = (
        lambda entry: (_content(entry), blurred(entry.path, hosts)) if entry.sha256 else None,
        lambda entry: (_content(entry), os.path.basename(entry.path)) if entry.sha256 else None,
        lambda entry: _content(entry) if entry.sha256 and entry.size else None,
        lambda entry: (entry.kind, entry.type, blurred(entry.path, hosts)),
    )
    for key in keys:
        work.by(key)
    return _without_repetitions(sorted(work.all(), key=lambda each: each.path))


class _Pairing:
    """What is paired by now, and which entries are not yet."""

    def __init__(self, recorded: list[Entry], replayed: list[Entry]) -> None:
        self._recorded = dict(enumerate(recorded))
        self._replayed = dict(enumerate(replayed))
        self._pairs: list[Pair] = []

    def by_rule(self) -> None:
        """Pair what has the same path, or the same one but for what a rule explains."""
        masks = {each.path: explained(each.path) for side in (self._recorded, self._replayed) for each in side.values()}
        names = _Bijection()
        for a, b in self._groups(lambda entry: (entry.kind, masks[entry.path].path)):
            if len(a) != len(b):  # one more or less: the names they share say more than their order
                a, b = self._same_paths(a, b, masks, names)
            for n, m in zip(a, b, strict=False):
                was, now = masks[self._recorded[n].path], masks[self._replayed[m].path]
                holds = names.agree(was, now)
                self._add(n, m, was.rule if holds and was != now else None)

    def by(self, key: _Key) -> None:
        """Pair what has the same key, in the order of the paths."""
        for a, b in self._groups(key):
            for n, m in zip(a, b, strict=False):
                self._add(n, m)

    def all(self) -> list[Pair]:
        """The pairs, and what stands alone."""
        alone = [Pair(each, None) for each in self._recorded.values()]
        return [*self._pairs, *alone, *(Pair(None, each) for each in self._replayed.values())]

    def _same_paths(
        self, a: list[int], b: list[int], masks: dict[bytes, Masked], names: _Bijection
    ) -> tuple[list[int], list[int]]:
        now = {self._replayed[m].path: m for m in b}
        same = {self._recorded[n].path: n for n in a if self._recorded[n].path in now}
        for path, n in same.items():
            names.agree(masks[path], masks[path])
            self._add(n, now[path])
        return [n for n in a if n in self._recorded], [m for m in b if m in self._replayed]

    def _groups(self, key: _Key) -> list[tuple[list[int], list[int]]]:
        """The entries of either side that have the same key, in the order of their paths; None is no key."""
        groups: dict[Hashable, tuple[list[int], list[int]]] = {}
        for which, side in enumerate((self._recorded, self._replayed)):
            for n, entry in side.items():
                if (found := key(entry)) is not None:
                    groups.setdefault(found, ([], []))[which].append(n)
        both = [(a, b) for a, b in groups.values() if a and b]
        for a, b in both:
            if len(a) > 1 or len(b) > 1:
                a.sort(key=lambda n: natural(self._recorded[n].path))
                b.sort(key=lambda m: natural(self._replayed[m].path))
        return both

    def _add(self, n: int, m: int, rule: str | None = None) -> None:
        self._pairs.append(Pair(self._recorded.pop(n), self._replayed.pop(m), rule))


class _Bijection:
    """What stands for what, where rules let names vary: the same for the same, in both directions."""

    def __init__(self) -> None:
        self._there: dict[Hashable, Hashable] = {}
        self._back: dict[Hashable, Hashable] = {}

    def agree(self, was: Masked, now: Masked) -> bool:
        """Whether two paths of one mask fit to all before them."""
        holds = True
        for at in range(1, len(was.sites) + 1):
            one, other = was.sites[:at], now.sites[:at]
            holds &= self._there.setdefault(one, other) == other and self._back.setdefault(other, one) == one
        return holds


def _content(entry: Entry) -> Hashable:
    return entry.kind, entry.type, entry.sha256


def _without_repetitions(pairs: list[Pair]) -> list[Pair]:
    """Without a file that was handed over as well as left behind, with the same content on either side."""
    outputs = {_contents(each) for each in pairs if "output" in _kinds(each)}
    return [each for each in pairs if _kinds(each) != {"artifact"} or _contents(each) not in outputs]


def _kinds(pair: Pair) -> set[str]:
    return {entry.kind for entry in (pair.recorded, pair.replayed) if entry is not None}


def _contents(pair: Pair) -> Hashable:
    """What a pair compares; never that of another one where a digest is missing."""
    sides = [entry and (entry.path, entry.sha256, entry.mode) for entry in (pair.recorded, pair.replayed)]
    known = all(entry is not None and entry.sha256 for entry in (pair.recorded, pair.replayed))
    return tuple(sides) if known else id(pair)
