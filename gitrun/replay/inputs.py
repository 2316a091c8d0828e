"""The inputs of a run, brought to its checkout, or named as the reason why there can be no replay.

A record holds the sha256 of an input, and its bytes only where the run found it left out of the source. Where the run
that made it stored it, that run has them too. Any other file can only be used where it still is. One below the
worktree that is not source, such as a data set that Git ignores, is copied into the checkout and hashed while it is
copied, so that the program reads the very bytes that were checked, and cannot change the user's. Any other is read
where the program will read it: in the source, through a link, or at its absolute path.

A checkpoint that a run read and then wrote to is what the run it goes on from had left there.

A different or missing file ends the replay before the program starts: it would answer another question. One that
was written to while the run went on is no reason: what the run has read is not known, and the verdict says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from gitrun.archive.archive import Archive
from gitrun.archive.chains import earlier_legs
from gitrun.archive.entries import Entry
from gitrun.archive.run import Run
from gitrun.archive.traces import files_of
from gitrun.capture.facts import unwaiting
from gitrun.capture.inputs import SAMPLE, STAT, sample
from gitrun.errors import GitrunError
from gitrun.files.materialise import Clone
from gitrun.model.listing import first_lines
from gitrun.model.times import iso
from gitrun.replay.plan import Addition
from gitrun.replay.retrieving import verified

_CHUNK = 1 << 20
_MISSING, _OVERWRITTEN = "missing", "overwritten"
_MOST_TOLD = 20
Stored = Callable[[Entry], Iterator[bytes] | None]


class Inputs:
    """The inputs of one run: its entries, `stored` giving the bytes of one that the archive has.

    `problems` says what is not as it was, one sentence an input, `notes` what is not known of it. `there` holds the
    paths of those that an earlier leg leaves in the checkout; one that `may_lack` knows is no problem, whatever it is.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        worktree: str | None,
        stored: Stored,
        there: Collection[bytes] = (),
        may_lack: Callable[[Entry], bool] = lambda entry: False,
    ) -> None:
        self._worktree = None if worktree is None else os.fsencode(worktree)
        self._inputs = [entry for entry in entries if entry.kind == "input" and entry.path not in there]
        self._may_lack = may_lack
        self._stored = stored
        self._brought: set[bytes] = set()
        self._origins: dict[bytes, bytes] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def additions(self) -> list[Addition]:
        """What a checkout should copy, where the source does not have it already."""
        if self._worktree is None:
            return []
        below = [each for each in self._inputs if each.is_inside and _is_known(each)]
        return [Addition(each.path, 0o644 if each.mode is None else each.mode, self._content(each)) for each in below]

    def paths(self, directory: str) -> list[str]:
        """Where the program run in `directory` finds those that the run had declared."""
        declared = [each for each in self._inputs if each.facts.get("evidence", "declared") == "declared"]
        return [os.path.join(directory, os.fsdecode(each.path)) for each in declared if _is_known(each)]

    def outside(self) -> list[str]:
        """Where those lie that are not below the worktree."""
        return [os.fsdecode(each.path) for each in self._inputs if not each.is_inside]

    def verify(self, directory: str) -> None:
        """Look at every input that was not copied, where the program run in `directory` will find it."""
        for each in self._inputs:
            if each.path not in self._brought:
                place = os.path.join(os.fsencode(directory), each.path)
                for _ in self._checked(each, place, is_copied=False):
                    pass  # only hashing
        for told in (self.problems, self.notes):
            told[:] = first_lines(told, _MOST_TOLD)

    def _content(self, each: Entry) -> Iterator[bytes] | Clone:
        """The stored bytes, or those in the recorded worktree: a clone is compared by `verify`, a copy on the way."""
        assert self._worktree is not None
        place, stored = os.path.join(self._worktree, each.path), self._stored(each)
        pieces = self._brought_by(each, stored or self._checked(each, place))
        if stored is not None or each.sha256 is None:
            return pieces
        self._origins[each.path] = place
        return Clone(place, pieces)

    def _brought_by(self, each: Entry, pieces: Iterator[bytes]) -> Iterator[bytes]:
        self._brought.add(each.path)
        yield from pieces

    def _checked(self, each: Entry, place: bytes, *, is_copied: bool = True) -> Iterator[bytes]:
        """The bytes at `place`; what is wrong with them is known, and said, when they end.

        Not `is_copied`: of a file without a digest none, since nothing could be compared with them.
        """
        if not _is_known(each):
            self._tell_unknown(each)
            return
        digest = hashlib.sha256()
        try:
            agrees = each.level != STAT or _is_as_old(each, os.stat(place))
            if each.level == SAMPLE and each.size is not None:
                agrees = os.stat(place).st_size == each.size and sample(place, each.size) == each.facts.get("sample")
            with open(place, "rb", buffering=0, opener=unwaiting) as file:
                while (is_copied or each.sha256 is not None) and (piece := file.read(_CHUNK)):
                    digest.update(piece)
                    yield piece
        except OSError as problem:
            self._say(each, f"{problem.strerror}: {os.fsdecode(place)}")
            return
        if not agrees or (each.sha256 is not None and digest.hexdigest() != each.sha256):
            origin = self._origins.get(each.path, place)  # of a clone: the user's own file
            self._say(each, f"its content has changed since the run: {os.fsdecode(origin)}")

    def _tell_unknown(self, each: Entry) -> None:
        if each.reason == _OVERWRITTEN:
            self.notes.append(f"input {os.fsdecode(each.path)}: the run wrote to it; what it had read is not known")
        elif each.reason != _MISSING:
            self._say(each, f"its bytes were not recorded ({each.reason})")

    def _say(self, each: Entry, what: str) -> None:
        """A problem; a note where the run itself may not have read what is recorded."""
        changed = bool(each.facts.get("overwritten")) and each.facts.get("evidence") != "declared"
        if changed:
            what = f"it was written to while the run went on; {what}"
        (self.notes if changed or self._may_lack(each) else self.problems).append(
            f"input {os.fsdecode(each.path)}: {what}"
        )


def inputs_of(
    archive: Archive,
    run: Run,
    worktree: str | None,
    there: Collection[bytes] = (),
    may_lack: Callable[[Entry], bool] = lambda entry: False,
) -> Inputs:
    """The inputs of a run in an archive; raises DamagedRecord for lines that no recorder writes, or DamagedStore."""
    entries = files_of(archive, run)
    left = _left_by_legs(archive, run) if any(entry.facts.get("overwritten") for entry in entries) else {}
    restored = {entry.path: _as_left(entry, left[entry.path]) for entry in entries if _is_rewritten(entry, left)}
    kept = [entry for entry in entries if entry.kind != "input" or entry.path not in restored]
    found = Inputs([*kept, *restored.values()], worktree, _Shelves(archive).stored, there, may_lack)
    for path, entry in restored.items():
        if path not in there:
            found.notes.append(
                f"input {os.fsdecode(path)}: the run wrote to it; what run {entry.produced_by} had left there is used"
            )
    return found


def _left_by_legs(archive: Archive, run: Run) -> dict[bytes, Entry]:
    """What the runs that this one goes on from had written, by path: of two the later; the maker is filled in."""
    left: dict[bytes, Entry] = {}
    for leg in earlier_legs(archive, run):
        made = (entry for entry in files_of(archive, leg) if entry.kind == "output" and entry.sha256 is not None)
        left.update((entry.path, entry._replace(produced_by=leg.id)) for entry in made)
    return left


def _as_left(entry: Entry, found: Entry) -> Entry:
    """A checkpoint that was read and then written again: what it was is what an earlier leg had left."""
    facts = {key: value for key, value in entry.facts.items() if key != "overwritten"}
    return entry._replace(
        mode=found.mode, size=found.size, sha256=found.sha256, reason=None, produced_by=found.produced_by, facts=facts
    )


def _is_rewritten(entry: Entry, left: Mapping[bytes, Entry]) -> bool:
    """Whether a run wrote to an input that an earlier leg had left; what was declared was hashed before that."""
    is_known = entry.facts.get("evidence") == "declared" and entry.sha256 is not None
    return entry.kind == "input" and bool(entry.facts.get("overwritten")) and not is_known and entry.path in left


class _Shelves:
    """Finds the bytes of inputs in the archive: kept by their own run, or by the one that made them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._made: dict[str, dict[str, Entry]] = {}

    def stored(self, entry: Entry) -> Iterator[bytes] | None:
        """The bytes of an input, verified as they come; None where the archive does not have them."""
        store = self._archive.store
        try:
            for holder in (entry, self._of_maker(entry)):
                if (
                    holder is not None
                    and holder.stored
                    and all(store.has(blob) for blob, _ in holder.chunks(store.get))
                ):
                    return verified(self._archive, holder)
        except GitrunError:
            pass  # the file may still be where it was
        return None

    def _of_maker(self, entry: Entry) -> Entry | None:
        maker = entry.produced_by
        if maker is None or entry.sha256 is None:
            return None
        if maker not in self._made:
            run = self._archive.run(maker)
            found = files_of(self._archive, run) if run is not None else ()
            self._made[maker] = {one.sha256: one for one in found if one.sha256 is not None and one.stored}
        return self._made[maker].get(entry.sha256)


def _is_known(entry: Entry) -> bool:
    return entry.sha256 is not None or entry.level in (SAMPLE, STAT)


def _is_as_old(entry: Entry, found: os.stat_result) -> bool:
    return found.st_size == entry.size and iso(found.st_mtime_ns) == entry.facts.get("modified")
