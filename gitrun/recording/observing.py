"""What a run turned out to be: facts that are known only when it has ended, added to its draft before it is sealed.

The Python processes of a run say what they loaded, how they were configured, which seeds they set; that lies in the
member's directory, also after a kill. Here it is read once, judged, and written into the live directory: parts first,
then the draft, which says that it is done. Whoever seals afterwards, the recorder or a rescuer, reads the same.
It is imported with sealing, while the command still runs where that takes long enough.

Each fact is guarded by itself: whatever goes wrong with one, a bug as well, is a sentence under `coverage`.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gitrun.capture.child_coverage import child_coverage
from gitrun.capture.group import observed_group
from gitrun.capture.held import HeldSource
from gitrun.capture.imports import loaded_files, started_in, worktree_of
from gitrun.capture.loaded import Finder, Findings, Limits
from gitrun.capture.observed import Observed, read_observed
from gitrun.capture.ownership import owned_files
from gitrun.capture.processes import describe_processes
from gitrun.capture.secrets import Redactor
from gitrun.capture.whereabouts import Territory, Whereabouts, prefixes_of
from gitrun.files.holder import here
from gitrun.git.ignore import IgnoreRules
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.repository import discover
from gitrun.model.canonical import path_bytes
from gitrun.recording.actual_environment import describe_libraries, settle_environment
from gitrun.recording.configuring import configure
from gitrun.recording.context import Context
from gitrun.recording.live import LIMITS, LiveDirectory
from gitrun.recording.liveness import read_header
from gitrun.recording.rooting import read_lines, write_lines
from gitrun.settings import KEYS


class Subject(NamedTuple):
    """A run whose command has ended."""

    context: Context
    live: LiveDirectory
    draft: dict[str, Any]
    observed: Observed
    redactor: Redactor


def observe(context: Context, live: LiveDirectory, draft: dict[str, Any], *, keep: bool = False) -> None:
    """Adds to a draft what its processes reported, unless that was done; the caller holds the seal lock.

    `keep`: they may report more, so the live directory's draft stays as it was. Raises DiskFull or NotWritable
    where the live directory does not take it.
    """
    facts = draft.setdefault("live", {})
    if facts.get("observed"):
        return
    coverage = draft.setdefault("coverage", {})
    redactor = Redactor(context.environ)

    def guarded(topic: str, fact: Callable[[], Any]) -> None:
        try:
            said = fact()
        except Exception as problem:  # a bug in one fact must not cost the run the others
            said = [f"not captured: {redactor.text(f'{type(problem).__name__}: {problem}')}"]
        if said is not None:
            coverage[topic] = said

    def observed() -> Any:
        subject = Subject(context, live, draft, read_observed(live.member), redactor)
        for topic, fact in (
            ("environment", _environment),
            ("native", _natives),
            ("loaded", _loaded),
            ("config", _config),
            ("seeds", _seeds),
            ("group", _group),
        ):
            guarded(topic, partial(fact, subject))
        return _child(subject)

    guarded("child", observed)
    facts["observed"] = True
    if not keep:
        live.write_draft(draft)


# -- the processes


def _child(subject: Subject) -> Any:
    draft = subject.draft
    command = [path_bytes(word) for word in draft["command"]]
    return child_coverage(subject.observed, command, bool(draft.get("interpreter")))


def _ran_here(subject: Subject) -> bool:
    """Whether the paths that the processes reported lead to the files that they meant."""
    header, place = read_header(subject.live.member) or {}, here()
    return (header.get("host_id"), header.get("pid_namespace")) == (place.host, place.pid_namespace)


def _environment(subject: Subject) -> Any:
    if not _ran_here(subject):
        return None  # what was found out where it ran stands
    return settle_environment(subject.live, subject.draft, subject.observed, subject.context.gitrun_dir)


def _natives(subject: Subject) -> Any:
    if not _ran_here(subject):
        return None
    return describe_libraries(subject.live, subject.draft, subject.observed, subject.redactor)


def _config(subject: Subject) -> Any:
    return configure(subject.live, subject.draft, subject.observed, subject.redactor)


def _seeds(subject: Subject) -> Any:
    if not subject.observed.processes:
        return None
    found = describe_processes(subject.observed, subject.redactor)
    subject.draft["seeds"] = found.seeds or None
    subject.draft["process"]["observed"] = found.value
    return found.problems or None


def _group(subject: Subject) -> None:
    """A sweep that only the program's own configuration tells of."""
    draft = subject.draft
    if draft.get("group") is None and not draft["live"].get("group_given"):
        group = observed_group(subject.observed, worktree_of(draft))
        draft["group"] = subject.redactor.text(group) if group else None


# -- loaded source


def _loaded(subject: Subject) -> Any:
    """Keeps what was loaded and is in nobody's keeping.

    Not where another host or container is looking: what it finds under these paths are other files.
    """
    if not _ran_here(subject):
        return ["what it loaded was not looked at: it was sealed from another place than it ran at"]
    context, live, draft = subject.context, subject.live, subject.draft
    source = draft["source"]
    lines = read_lines(live)
    worktree = worktree_of(draft)
    paths = {root["n"]: path_bytes(root["path"]) for root in source.get("roots") or []}
    starts = [process.start for process in subject.observed.processes]
    prefixes = prefixes_of([*starts, draft.get("interpreter") or {}])
    readers: list[ObjectReader] = []

    def reader() -> ObjectReader:
        if not readers:
            readers.append(open_reader(context.archive))
        return readers[0]

    finder = Finder(
        Whereabouts(Territory(worktree, list(paths.items()), prefixes), owned_files),
        HeldSource(source, lines, reader),
        paths,
        worktree,
        context.archive.object_format,
        os.stat(os.path.join(live.member, "header.json")).st_mtime_ns,
    )
    limits = draft["live"].get("limits") or {}
    files = loaded_files(subject.observed, draft["command"], started_in(draft), worktree)
    try:
        most = Limits(*(limits.get(key, KEYS[key].default) for key in LIMITS))
        found, shelf = finder.find(files, context.store, most)
    finally:
        for opened in readers:
            opened.close()
    try:
        if found.lines:
            shelf.commit()
            write_lines(live, [*lines, *found.lines], source.get("roots") or [])  # what a collector looks at
    finally:
        shelf.close()
    _tell_source(source, found, worktree)
    return found.problems or ("complete" if subject.observed.processes else None)


def _tell_source(source: dict[str, Any], found: Findings, worktree: bytes | None) -> None:
    """Writes into the facts of the source what the run has shown of it."""
    if found.changed:
        changed = {*(source.get("changed_during_run") or []), *found.changed}
        source["changed_during_run"] = sorted(changed, key=path_bytes)
    source["roots"] = [dict(root) for root in source.get("roots") or []]  # a replay's are those of its run
    for root in source["roots"]:
        if names := found.imported_from.get(root["n"]):
            root["imported_from"] = sorted({*(root.get("imported_from") or []), *names})
    excluded = list(source.get("excluded") or [])
    named = {entry["path"] for entry in excluded}
    _count_loaded(excluded, found.lines, worktree)
    excluded += [entry for entry in found.left_out if entry["path"] not in named]
    if excluded:
        source["excluded"] = sorted(excluded, key=lambda entry: path_bytes(entry["path"]))


def _count_loaded(excluded: list[dict[str, Any]], lines: list[dict[str, Any]], worktree: bytes | None) -> None:
    """Says of a directory that a guard left out how many of its files are in the record after all."""
    guarded = {path_bytes(e["path"]): e for e in excluded if e.get("reason") in ("max_files", "max_bytes")}
    if not guarded or worktree is None:
        return
    for entry in guarded.values():
        entry.pop("loaded", None)  # a replay has its own count
    rules = IgnoreRules.for_repository(discover(os.fsdecode(worktree), None, os.environ))
    for line in lines:
        path = path_bytes(line["path"])
        if line.get("root") is not None or path.startswith(b"/"):
            continue
        directory, name = path[: path.rfind(b"/") + 1], path[path.rfind(b"/") + 1 :]
        if rules.is_ignored(directory, name, False):
            continue  # no guard has left it out
        while directory and directory not in guarded:
            directory = directory[: directory.rfind(b"/", 0, -1) + 1]
        if (around := guarded.get(directory or b"./")) is not None:
            around["loaded"] = around.get("loaded", 0) + 1
