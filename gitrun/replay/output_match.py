"""What two files have in common that stand for each other.

The digests decide most: equal ones are equal bytes, whether the bytes were kept or not. Only where they differ are the
files opened, to tell another container around the same values from other values. Whatever cannot be told is said so:
a file that may be somebody else's, or that has no digest, is never the same and never different.
"""

from __future__ import annotations

import os
import re
from typing import BinaryIO, NamedTuple

from gitrun.archive.entries import Entry
from gitrun.files.names import show
from gitrun.replay.compare import Tolerance, compare_contents
from gitrun.replay.entry_side import Side
from gitrun.replay.levels import Finding, Level
from gitrun.replay.naming import explained, is_hydra_time
from gitrun.replay.pairing import Pair
from gitrun.replay.stamps import explain

_MOST_TEXT = 4 << 20
_LOG = re.compile(rb"\.log(?:\.\d+)?\Z", re.IGNORECASE)
_WHY_NO_DIGEST = {
    "secret": "by its name it may hold secrets, so nothing of it was recorded",
    "deferred": "there was no time to read it before the run was sealed",
    "unreadable": "it could not be read",
    "missing": "it was gone before it could be read",
}


class Output(NamedTuple):
    """A file as a verdict has it.

    `decides` is False for the text of a log that differs. `is_alone`: one side has nothing that stands for it.
    `why` is what its text itself says about the difference (`stamps.explain`), `rule` why it has another name.
    """

    path: bytes
    level: Level
    detail: str = ""
    renamed_from: bytes | None = None
    decides: bool = True
    is_alone: bool = False
    why: str = ""
    rule: str | None = None


def match_output(pair: Pair, recorded: Side, replayed: Side, tolerance: Tolerance) -> Output:
    """What the two files of a pair have in common."""
    a, b = pair.recorded, pair.replayed
    if a is None or b is None:
        return _alone(pair)
    why = ""
    if _is_ambiguous(a) or _is_ambiguous(b):
        same = a.sha256 == b.sha256 and a.sha256 is not None
        words = "its bytes are the same" if same else "its bytes are not known to be the same"
        found = Finding(Level.UNVERIFIABLE, f"another run or a late change may have written it; {words}")
    elif a.type != b.type:
        found = Finding(Level.DIFFERS, f"it was a {a.type}, now it is a {b.type}")
    elif a.sha256 is None or b.sha256 is None:
        found = _without_digest(a, b)
    elif a.type == "link":
        found = _links(a, b, recorded, replayed)
    elif a.sha256 == b.sha256:
        found = Finding(Level.BIT)
    else:
        found, why = _contents(pair, a, b, recorded, replayed, tolerance)
    found = _with_mode(a, b, found)
    found = _with_name(pair, found)
    decides = found.level >= Level.TOLERANCE or not _is_log_text(pair, found)
    return Output(pair.path, found.level, found.detail, pair.renamed_from, decides, why=why, rule=pair.rule)


def _alone(pair: Pair) -> Output:
    entry = pair.recorded or pair.replayed
    assert entry is not None
    if pair.replayed is None:
        words, doubt = "the replay did not write it", "the replay did not write it, and the run may not have either"
    else:
        words, doubt = "only the replay wrote it", "only the replay has it, and may not have written it"
    if _is_ambiguous(entry):
        return Output(pair.path, Level.UNVERIFIABLE, doubt, is_alone=True)
    return Output(pair.path, Level.DIFFERS, words, is_alone=True)


def _without_digest(a: Entry, b: Entry) -> Finding:
    entry = a if a.sha256 is None else b
    if entry.type == "directory":
        same = a.facts.get("manifest") == b.facts.get("manifest") is not None
        return Finding(
            Level.BIT if same else Level.UNVERIFIABLE, "" if same else "the list of its files cannot be read"
        )
    why = _WHY_NO_DIGEST.get(entry.reason or "", f"it has no digest ({entry.reason or 'no reason was recorded'})")
    if a.size is not None and b.size is not None and a.size != b.size:
        why += f"; it had {a.size:,} bytes, now {b.size:,}"
    return Finding(Level.UNVERIFIABLE, why)


def _links(a: Entry, b: Entry, recorded: Side, replayed: Side) -> Finding:
    """Two links: to the same place, or to the one that corresponds to it in the checkout."""
    if a.sha256 == b.sha256:
        return Finding(Level.BIT)
    was, now = (os.fsencode(str(entry.facts.get("target") or "")) for entry in (a, b))
    if _below(was, recorded.top) == _below(now, replayed.top) is not None:
        return Finding(Level.SEMANTIC, "it leads to the same place in the replay's directory")
    one, other = explained(was), explained(now)
    if one.rule is not None and one.path == other.path:
        return Finding(Level.SEMANTIC, f"it leads to a file of another name: {one.rule}")
    return Finding(Level.DIFFERS, f"it led to {show(was)}, now to {show(now)}")


def _below(path: bytes, top: bytes | None) -> bytes | None:
    if top is None or not path.startswith(top.rstrip(b"/") + b"/"):
        return None
    return path[len(top.rstrip(b"/")) :]


def _contents(
    pair: Pair, a: Entry, b: Entry, recorded: Side, replayed: Side, tolerance: Tolerance
) -> tuple[Finding, str]:
    """What two files with different digests have in common, and why their text differs where it says so itself."""
    was = recorded.open(a)
    now = None if was is None else replayed.open(b)
    try:
        if was is None or now is None:
            who = "run's" if was is None else "replay's"
            words = f"other bytes ({_sizes(a, b)}; the {who} are not at hand, only their digest)"
            return Finding(Level.DIFFERS, words), ""
        try:
            found = compare_contents(b.path, was, now, tolerance)
        except Exception as problem:  # a bug met by somebody's file must not cost the replay its whole verdict
            words = f"other bytes ({_sizes(a, b)}; no closer look was possible: {type(problem).__name__})"
            return Finding(Level.DIFFERS, words), ""
        if found.level == Level.BIT:  # the digests say otherwise
            return Finding(Level.UNVERIFIABLE, "it changed while it was compared"), ""
        if found.level > Level.DIFFERS:
            return found, ""
        if pair.rule is not None and _names_its_directory(a.path, b.path, was, now):
            return Finding(Level.SEMANTIC, "only the name of its directory differs in it"), ""
        words = found.detail or f"other bytes ({_sizes(a, b)})"
        return found._replace(detail=words), explain(was, now, (recorded.top, replayed.top))
    finally:
        for file in (was, now):
            if file is not None:
                file.close()


def _names_its_directory(path: bytes, other: bytes, was: BinaryIO, now: BinaryIO) -> bool:
    """Whether a text would be the same if the directory that Hydra names by the time had the same name (`hydra.yaml`).

    No other name of a rule is so long that it could not stand there for something else.
    """
    texts = []
    for file in (was, now):
        file.seek(0)
        texts.append(file.read(_MOST_TEXT + 1))
    if any(len(text) > _MOST_TEXT or b"\0" in text for text in texts):
        return False
    for (_, old), (_, new) in zip(explained(path).sites, explained(other).sites, strict=True):
        if is_hydra_time(old):
            texts[0] = texts[0].replace(old, new)
    return texts[0] == texts[1]


def _sizes(a: Entry, b: Entry) -> str:
    if a.size == b.size:
        return f"{a.size:,} as before" if a.size is not None else "of unknown length"
    words = ("?" if entry.size is None else f"{entry.size:,}" for entry in (a, b))
    return " then, ".join(words) + " now"


def _with_mode(a: Entry, b: Entry, found: Finding) -> Finding:
    if a.type == "link" or a.mode == b.mode:
        return found
    if a.mode is None or b.mode is None:
        return _capped(found, Level.UNVERIFIABLE, "its mode is not known")
    level = Level.UNVERIFIABLE if found.level == Level.UNVERIFIABLE else Level.DIFFERS
    return _capped(found, level, f"its mode was {a.mode:04o}, now {b.mode:04o}")


def _with_name(pair: Pair, found: Finding) -> Finding:
    if pair.renamed_from is None:
        return found
    if pair.rule is not None:
        return _capped(found, Level.SEMANTIC, pair.rule)
    words = "the same content has another name" if found.level == Level.BIT else "it has another name"
    return _capped(found, Level.DIFFERS, words)


def _capped(found: Finding, level: Level, words: str) -> Finding:
    told = "; ".join(each for each in (words, found.detail) if each)
    return found._replace(level=min(found.level, level), detail=told)


def _is_ambiguous(entry: Entry) -> bool:
    return entry.facts.get("evidence") == "ambiguous"


def _is_log_text(pair: Pair, found: Finding) -> bool:
    """Whether it is the text of a log alone that differs; its mode and its name decide like those of any file."""
    a, b = pair.recorded, pair.replayed
    if a is None or b is None or found.level != Level.DIFFERS or not _LOG.search(pair.path):
        return False
    is_named = pair.renamed_from is None or pair.rule is not None
    return is_named and a.type == b.type == "file" and a.mode == b.mode
