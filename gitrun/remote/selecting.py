"""Which of the runs in a quarantine are meant by a name, a tag or an expression: asked of the records themselves."""

from __future__ import annotations

from collections.abc import Iterable

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.index_db import index_in_memory
from gitrun.archive.querying import Runs, parse_best
from gitrun.archive.selectors import described
from gitrun.errors import RunNotFound
from gitrun.git.transport_quarantine import Quarantine

_BEST = "@best:"


def meeting(
    archive: Archive, incoming: Quarantine, runs: dict[str, str], texts: Iterable[str], remote: str
) -> set[str]:
    """The runs, of these, that the texts mean; raises RunNotFound for one that means none, and ExpressionError."""
    with Archive(incoming.repo, None, archive.settings, archive.environ, archive.monitor) as view:
        view.show_only(runs)
        index = index_in_memory(view)
        try:
            columns, found = Runs(index, {}), set[str]()
            for text in texts:
                here = _one(columns, text)
                if not here:
                    what = f"{remote} has no run {harmless(text)!r} that is not here"
                    raise RunNotFound(what, next=f"gitrun ls --remote {remote}")
                found.update(here)
        finally:
            index.close()
    return found


def _one(runs: Runs, text: str) -> list[str]:
    if not text.startswith(_BEST):
        return described(runs, text)[0]
    greatest, key = parse_best(text.removeprefix(_BEST))
    best = runs.best(runs.ids, runs.key(key), greatest) if runs.known_keys() else None
    return [] if best is None else [best]
