"""Tags, notes, claims and names that are given to a run after it was sealed, and the tag that means something: `pin`.

A person who pins a run says that it must not go, whoever tidies up later: it is not removed, nothing of it is
dropped, and one that was pinned in the trash stays there however long its grace is over.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitrun.archive.annotations import annotate
from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.archive.since import CLAIM, NAME, NOTE, TAG
from gitrun.errors import GitrunError, LiveElsewhere, UsageError
from gitrun.model.claims import parse_claim
from gitrun.model.ids import short

PIN = "pin"
_MAX_LENGTH = 200
_MAX_NOTE = 100_000


def tag(archive: Archive, run: Run, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """Give a run tags, or take some away, durably; the tags it has now.

    Raises LiveElsewhere for a run that is being recorded, UsageError for a text that is no tag.
    """
    _refuse_live(run)
    before = run.tags
    adding = [name for name in dict.fromkeys(map(_checked, add)) if name not in before]
    removing = [name for name in dict.fromkeys(remove) if name in before]
    if adding or removing:
        say(archive, run, TAG, {"add": adding, "remove": removing})
    return run.tags


def note(archive: Archive, run: Run, text: str) -> None:
    """Add a note to a run, durably; raises LiveElsewhere, and UsageError for an empty or endless one."""
    _refuse_live(run)
    if not text.strip() or len(text) > _MAX_NOTE:
        raise UsageError(f"a note has some text, of at most {_MAX_NOTE:,} characters", next="gitrun note --help")
    say(archive, run, NOTE, {"text": text})


def claim(archive: Archive, run: Run, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """Claim something of a run, or take it back, durably; what is claimed of it now.

    Raises LiveElsewhere for a run that is being recorded, UsageError for a text that is no claim.
    """
    _refuse_live(run)
    before = run.claims
    adding = [text for text in dict.fromkeys(parse_claim(text).expr for text in add) if text not in before]
    removing = [text for text in dict.fromkeys(map(str.strip, remove)) if text in before]
    if adding or removing:
        say(archive, run, CLAIM, {"add": adding, "remove": removing})
    return run.claims


def rename(archive: Archive, run: Run, name: str) -> None:
    """Give a run another name, durably, or none where it is empty; raises LiveElsewhere, and UsageError as `tag`."""
    _refuse_live(run)
    say(archive, run, NAME, {"name": _checked(name, "name") if name else ""})


def say(archive: Archive, run: Run, kind: str, body: dict[str, object]) -> None:
    """Say something of a sealed run that needs no blobs; readers of this archive see it from now on."""
    annotate(archive.repo, archive.gitrun_dir, archive.environ, archive.objects.reader, run.id, kind, body, [])
    archive.objects.forget_events()


def refuse_pinned(run: Run, doing: str) -> None:
    """Raise GitrunError for a run that is pinned; `doing` says what is not done, such as "removed"."""
    if PIN in run.tags:
        raise GitrunError(
            f"run {run.id} is pinned, so it is not {doing}",
            kept="the run and all its files",
            next=f"gitrun tag {short(run.id)} {PIN} --remove",
        )


def _refuse_live(run: Run) -> None:
    if run.is_live:
        raise LiveElsewhere(f"run {run.id} is being recorded", kept="the run", next="wait for its end")


def _checked(name: str, what: str = "tag") -> str:
    if not name.strip() or not name.isprintable() or len(name) > _MAX_LENGTH:
        raise UsageError(
            f"{name[:_MAX_LENGTH]!r} is no {what}: printable text of at most {_MAX_LENGTH} characters is",
            next=f"gitrun {'rename' if what == 'name' else 'tag'} --help",
        )
    return name
