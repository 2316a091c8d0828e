"""What a user types for a run, resolved to exactly one run or to a clear answer.

A full id, the last six characters, a name, any unique part of an id, `@` for the run this clone
started last, `@~2` for the one two before it, `tag:best`. More than one match is never guessed
at: the candidates are listed. Exact matches go before partial ones, ids before names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.run import Run
from gitrun.errors import AmbiguousRun, GitrunError, RunNotFound, UsageError
from gitrun.model.ids import is_run_id

_RELATIVE = re.compile(r"@(?:~([0-9]{1,6}))?")
_LIST = "gitrun ls"


def resolve(archive: Archive, text: str) -> Run:
    """The one run that `text` means; raises RunNotFound, AmbiguousRun or UsageError."""
    if text.startswith("@"):
        return _relative(archive, text)
    if text.startswith("tag:"):
        tag = text.removeprefix("tag:")
        return _only(text, [run for run in archive.newest_first() if tag in run.summary.tags])
    if is_run_id(text):
        run = archive.run(text)
        if run is None:
            raise _not_found(text)
        return run
    by_id = _by_id(archive, text.lower())
    if len(by_id) == 1 and by_id[0].id.endswith("-" + text.lower()):
        return by_id[0]
    named = [run for run in archive.newest_first() if run.summary.name == harmless(text)] if text else []
    return _only(text, named or by_id)


def _by_id(archive: Archive, part: str) -> list[Run]:
    """Runs whose last six characters are `part`, else those whose id contains it."""
    ids = archive.run_ids()
    found = [run_id for run_id in ids if run_id.endswith("-" + part)] if len(part) == 6 else []
    found = found or [run_id for run_id in ids if part and part in run_id]
    return [run for run_id in found if (run := archive.run(run_id)) is not None]


def _relative(archive: Archive, text: str) -> Run:
    if text.startswith("@best:"):
        raise _best(text)
    match = _RELATIVE.fullmatch(text)
    if match is None:
        raise UsageError(f"{harmless(text)} is not a run: @, @~N and @best:max:KEY are", next=_LIST)
    back = int(match[1] or 0)
    seen = 0
    for seen, run in enumerate(_started_here(archive), 1):
        if seen > back:
            return run
    if seen == 0:
        raise RunNotFound("this clone has started no run yet", next="gitrun record -- COMMAND")
    raise RunNotFound(f"{text} is before the first run of this clone (it has started {seen})", next=_LIST)


def _started_here(archive: Archive) -> Iterator[Run]:
    """Runs that somebody started in this clone, the last one first: not replays, not runs inside runs."""
    writer = archive.writer_id()
    for run in archive.newest_first() if writer else ():
        summary = run.summary
        if summary.origin == writer and not summary.replay_of and not summary.parent:
            yield run


def _best(text: str) -> GitrunError:
    direction, colon, key = text.removeprefix("@best:").partition(":")
    if not colon or direction not in ("max", "min"):
        key = key or direction
        return UsageError(
            f"say which way is better: @best:max:{harmless(key)} or @best:min:{harmless(key)}", next=_LIST
        )
    return RunNotFound(f"{harmless(text)}: no run of this archive has metrics yet", next=_LIST)


def _only(text: str, found: list[Run]) -> Run:
    if len(found) == 1:
        return found[0]
    if not found:
        raise _not_found(text)
    candidates = [run.id for run in found]
    raise AmbiguousRun(
        f"{harmless(text)!r} could be {len(candidates)} runs", candidates, next=f"gitrun show {candidates[0][-6:]}"
    )


def _not_found(text: str) -> RunNotFound:
    return RunNotFound(f"no run answers to {harmless(text)!r}", next=_LIST)
