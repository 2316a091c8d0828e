"""What of the results of two runs nobody has seen, so that a verdict must not say they are the same.

A recorder says where it did not look: behind a link to a directory elsewhere, on another file system, after its time
was over. Most of these places were never written to, and a verdict that is `unverifiable` for each data set behind a
link would be worth nothing. So a place that can still be looked at is looked at once more, while the replay's files
are as it left them: if nothing in it was touched since the replay began, the program writes nothing there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from gitrun.capture.outputs import scan
from gitrun.model.canonical import path_bytes
from gitrun.model.times import parse_iso
from gitrun.replay.entry_side import Side

_UNSEEN = re.compile(r"not looked through: (?P<path>.+)/: (?:a link to a directory elsewhere|another file system)")
_HARMLESS = (
    re.compile(r"output .+: names no file that was written"),  # a pattern of the user's
    re.compile(r"[\d,]+ values of config, of which .+"),
    re.compile(r"[\d,]+ metrics, of which [\d,]+ are in run\.json"),
)
_TOPICS = ("outputs", "artifacts", "metrics")
_LOOK_S = 5.0
_ANOTHER_CLOCK_NS = 2_000_000_000
_SHOWN = 3


def gaps(recorded: Side, replayed: Side, is_ignored: Callable[[bytes], bool]) -> list[str]:
    """Sentences about results that could not be compared because one side did not see them."""
    found: dict[str, None] = {}
    for side, who in ((recorded, "the run"), (replayed, "the replay")):
        if "outputs" not in (side.record.get("coverage") or {}):
            found[f"{who}: what it left behind was not looked for"] = None
        paths = {entry.facts["path"] for entry in side.entries}
        for topic in _TOPICS:
            for text in side.coverage(topic):
                if text.rpartition(": ")[0] in paths or any(each.fullmatch(text) for each in _HARMLESS):
                    continue  # the file itself is told
                unseen = _UNSEEN.fullmatch(text)
                if unseen is None:
                    found[f"{who}: {text}"] = None
                elif not is_ignored(path_bytes(unseen["path"])):
                    found.update(dict.fromkeys(_behind(replayed, unseen["path"])))
    a, b = (len(side.record.get("members") or [None]) for side in (recorded, replayed))
    if a != b:
        found[f"the run had {a:,} members, the replay {b:,}: the others' results are missing"] = None
    return list(found)


def _behind(replayed: Side, path: str) -> Iterator[str]:
    """What was written meanwhile in a directory that the recorder did not enter."""
    real = os.path.realpath(os.path.join(replayed.top or b"/", path_bytes(path)))
    if replayed.top is None or not os.path.isdir(real):
        yield f"{path}/ leads to another place, which is not there now"
        return
    since_ns = parse_iso(str(replayed.record["started_at"])) - _ANOTHER_CLOCK_NS
    seen = scan(real.rstrip(b"/") + b"/", since_ns, limit_s=_LOOK_S)
    known = {entry.path for entry in replayed.entries}
    written = [each.path for each in seen.touched if os.path.join(real, each.path) not in known]
    if seen.gaps:
        yield f"{path}/ leads to another place, which could not be looked through"
    elif written:
        more = f" and {len(written) - _SHOWN:,} more" if len(written) > _SHOWN else ""
        names = ", ".join(_names(path, written[:_SHOWN]))
        yield f"written behind {path}/, which leads to another place, and not recorded: {names}{more}"


def _names(path: str, below: Iterable[bytes]) -> Iterator[str]:
    return (f"{path}/{os.fsdecode(each)}" for each in below)
