"""What of the results of two runs nobody has seen, so that a verdict must not say they are the same.

A recorder says where it did not look: behind a link to a directory elsewhere, on another file system, after its time
was over. Most of these places were never written to, and a verdict that is `unverifiable` for each data set behind a
link would be worth nothing. So a place that can still be looked at is looked at once more, while the replay's files
are as it left them: if nothing in it was touched since the replay began, the program writes nothing there.

The other way round, a file outside of the tree that a replay hands over may be the one that the run has left there: a
checkout has no old outputs, the rest of the disk has. One that was not touched since the replay began, but was since
the run began, proves nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from gitrun.capture.outputs import is_cache, is_environment, scan
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import first_lines
from gitrun.model.times import parse_iso
from gitrun.replay.entry_side import Side

_UNSEEN = re.compile(r"not looked through: (?P<path>.+)/: (?:a link to a directory elsewhere|another file system)")
_HARMLESS = (
    re.compile(r"output .+: names no file that was written"),  # a pattern of the user's
    re.compile(r"[\d,]+ values of config, of which .+"),
    re.compile(r"[\d,]+ metrics, of which [\d,]+ are in run\.json"),
)
_SUMMARY = "summary."  # of a value that is only described
_TOPICS = ("outputs", "artifacts", "metrics")
_LOOK_S = 5.0
_ANOTHER_CLOCK_NS = 2_000_000_000
_COARSE_CLOCK_NS = 20_000_000  # by which the time of a file may be behind the clock
_SHOWN = 3


def gaps(recorded: Side, replayed: Side, is_ignored: Callable[[bytes], bool]) -> list[str]:
    """Sentences about results that could not be compared because one side did not see them."""
    found: dict[str, None] = {}
    for side, who in ((recorded, "the run"), (replayed, "the replay")):
        if "outputs" not in (side.record.get("coverage") or {}):
            found[f"{who}: what it left behind was not looked for"] = None
        for name in _outlived(side):
            if not is_ignored(path_bytes(name)):
                found[f"{who}: {name} outlived its command, and what it wrote later is not known"] = None
        paths = {entry.facts["path"] for entry in side.entries}
        for topic in _TOPICS:
            for text in side.coverage(topic):
                if text.rpartition(": ")[0] in paths or any(each.fullmatch(text) for each in _HARMLESS):
                    continue  # the file itself is told
                if text.startswith(_SUMMARY) and is_ignored(path_bytes(text.partition(": ")[0])):
                    continue
                unseen = _UNSEEN.fullmatch(text)
                if unseen is None:
                    found[f"{who}: {text}"] = None
                elif not is_ignored(path_bytes(unseen["path"])):
                    found.update(dict.fromkeys(_behind(replayed, unseen["path"])))
    found.update(dict.fromkeys(_left_lying(recorded, replayed, is_ignored)))
    a, b = (len(side.record.get("members") or [None]) for side in (recorded, replayed))
    if a != b:
        found[f"the run had {a:,} members, the replay {b:,}: the others' results are missing"] = None
    return list(found)


def _outlived(side: Side) -> Iterator[str]:
    """The names of the processes that were still there when a run was sealed."""
    process = side.record.get("process")
    left = process.get("left_behind") if isinstance(process, dict) else None
    for each in left if isinstance(left, list) else []:
        if isinstance(each, dict):
            yield str(each.get("name"))


def _left_lying(recorded: Side, replayed: Side, is_ignored: Callable[[bytes], bool]) -> Iterator[str]:
    """Files outside of the tree that the replay handed over, and that are as the run, or somebody since, left them."""
    began_ns, since_ns = (parse_iso(str(side.record["started_at"])) for side in (recorded, replayed))
    for entry in replayed.entries:
        path = path_bytes(str(entry.facts["path"]))  # that of a copy is another one, and was new to the replay
        if entry.kind != "artifact" or entry.is_inside or path != entry.path or is_ignored(path):
            continue
        try:
            found = os.lstat(path)
        except OSError:
            continue  # it is gone, so there is nothing to be taken for it
        if began_ns <= found.st_ctime_ns < since_ns - _COARSE_CLOCK_NS:
            yield f"{entry.facts['path']}: the replay handed it over, and has not written it: it lay there before"


def passed_over(replayed: Side) -> list[str]:
    """The caches and environments in its checkout that a replay has written to: no results, and not compared."""
    if replayed.top is None:
        return []
    since_ns = parse_iso(str(replayed.record["started_at"]))
    found = []
    for directory, names, _ in os.walk(replayed.top):
        names[:] = [name for name in names if name != b".git"]
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.islink(path):
                names.remove(name)  # to the environment that it runs in, say
            elif is_cache(name + b"/") or is_environment(path):
                names.remove(name)
                if count := _count_written(path, since_ns):
                    place = os.fsdecode(os.path.relpath(path, replayed.top))
                    found.append(f"{place}/: {count:,} files in a directory of caches, or an environment")
    return first_lines(sorted(found), _SHOWN)


def _count_written(directory: bytes, since_ns: int) -> int:
    """How many files below a directory were written, compiled modules left out."""
    count = 0
    for above, _, names in os.walk(directory):
        for name in names:
            try:
                found = os.lstat(os.path.join(above, name))
            except OSError:
                continue  # it is gone again
            count += not name.endswith(b".pyc") and found.st_ctime_ns >= since_ns
    return count


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
