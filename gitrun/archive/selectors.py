"""What a user types for a run, resolved to exactly one run or to a clear answer.

A full id, the last six characters, a name, any unique part of an id, `@` for the run this clone
started last, `@~2` for the one two before it, `@best:max:acc`, `tag:best`. More than one match is never guessed
at: the candidates are listed. Exact matches go before partial ones, ids before names.

What is none of these and has a comparison in it is an expression, and means the runs that meet it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from shlex import quote

from gitrun.archive.archive import Archive
from gitrun.archive.chains import last_legs
from gitrun.archive.harmless import harmless
from gitrun.archive.keys import Key
from gitrun.archive.querying import Runs, ask
from gitrun.archive.run import Run
from gitrun.errors import AmbiguousRun, RunNotFound, UsageError
from gitrun.model.ids import is_run_id, short

_RELATIVE = re.compile(r"@(?:~([0-9]{1,6}))?")
_COMPARING = re.compile(r"[<>=~!\s]")
_LIST = "gitrun ls"


def resolve(archive: Archive, text: str) -> Run:
    """The one run that `text` means; raises RunNotFound, AmbiguousRun or UsageError."""
    found, by_expression = _find(archive, text)
    if by_expression and len(found) > 1:
        listing = f"{_LIST} {quote(text)}"
        raise AmbiguousRun(f"{len(found)} runs meet that, and one is needed here", found, next=listing)
    return _runs(archive, [_only(text, found)])[0]


def resolve_many(archive: Archive, texts: Iterable[str]) -> list[Run]:
    """The runs that `texts` mean, each once: an expression means all that meet it, anything else means one.

    Raises as `resolve`; RunNotFound also for an expression that no run meets.
    """
    chosen: dict[str, None] = {}
    for text in texts:
        found, by_expression = _find(archive, text)
        chosen.update(dict.fromkeys(found if by_expression else [_only(text, found)]))
    return _runs(archive, list(chosen))


def _find(archive: Archive, text: str) -> tuple[list[str], bool]:
    """The ids of the runs that `text` could mean, newest first, and whether it is an expression; never none."""
    if text.startswith("@"):
        return [_best(archive, text) if text.startswith("@best:") else _relative(archive, text)], False
    if is_run_id(text):
        found = [text] if archive.run(text) is not None else []
    else:
        found = _by_id(archive, text.lower())
        if not (len(found) == 1 and found[0].endswith("-" + text.lower())):
            named, by_expression = ask(archive, lambda runs: described(runs, text)) if text else ([], False)
            if by_expression and named:
                return named, True
            found = named or found
    if not found:
        raise RunNotFound(f"no run answers to {harmless(text)!r}", next=_LIST)
    return found, False


def described(runs: Runs, text: str) -> tuple[list[str], bool]:
    """The runs that have a tag or a name, else those that meet an expression; and whether it is one."""
    if text.startswith("tag:"):
        tags, wanted = runs.column(Key("tag")), harmless(text.removeprefix("tag:"))
        return [run_id for run_id in runs.ids if wanted in tags.get(run_id, ())], False
    names, wanted = runs.column(Key("name")), harmless(text)
    found = [run_id for run_id in runs.ids if names.get(run_id) == wanted]
    found = last_legs(found, runs.column(Key("resumed_from")))
    if found or _COMPARING.search(text) is None:
        return found, False
    return runs.select(text), True


def _only(text: str, found: list[str]) -> str:
    if len(found) > 1:
        next = f"gitrun show {short(found[0])}"
        raise AmbiguousRun(f"{harmless(text)!r} could be {len(found)} runs", found, next=next)
    return found[0]


def _runs(archive: Archive, run_ids: list[str]) -> list[Run]:
    found = {run.id: run for run in archive.runs(run_ids)}
    return [found[run_id] for run_id in run_ids]


def _by_id(archive: Archive, part: str) -> list[str]:
    """Runs whose last six characters are `part`, else those whose id contains it."""
    ids = archive.run_ids()
    found = [run_id for run_id in ids if run_id.endswith("-" + part)] if len(part) == 6 else []
    return found or [run_id for run_id in ids if part and part in run_id]


def _relative(archive: Archive, text: str) -> str:
    match = _RELATIVE.fullmatch(text)
    if match is None:
        raise UsageError(f"{harmless(text)} is not a run: @, @~N and @best:max:KEY are", next=_LIST)
    back = int(match[1] or 0)
    seen = 0
    for seen, run in enumerate(_started_here(archive), 1):
        if seen > back:
            return run.id
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


def _best(archive: Archive, text: str) -> str:
    direction, colon, key = text.removeprefix("@best:").partition(":")
    if not colon or direction not in ("max", "min") or not key:
        key = harmless(key or direction)
        raise UsageError(f"say which way is better: @best:max:{key} or @best:min:{key}", next=_LIST)

    def question(runs: Runs) -> str | None:
        return runs.best(runs.ids, runs.key(key), direction == "max") if runs.known_keys() else None

    found = ask(archive, question)
    if found is None:
        raise RunNotFound(f"{harmless(text)}: no run has such a number; metrics are numbers", next=_LIST)
    return found
