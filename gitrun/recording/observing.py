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
from gitrun.capture.ownership import Owners
from gitrun.capture.processes import describe_processes
from gitrun.capture.secrets import Redactor
from gitrun.capture.whereabouts import Territory, Whereabouts, prefixes_of
from gitrun.errors import GitrunError
from gitrun.files.holder import here
from gitrun.git.objects import reader_on_demand
from gitrun.model.canonical import path_bytes
from gitrun.recording.actual_environment import describe_libraries, settle_environment
from gitrun.recording.configuring import configure
from gitrun.recording.consuming import consume
from gitrun.recording.context import Context, limit
from gitrun.recording.exposing import tell_exposed
from gitrun.recording.gathering import gather
from gitrun.recording.guarded import LeftOut
from gitrun.recording.live import LIMITS, LiveDirectory
from gitrun.recording.liveness import read_header
from gitrun.recording.logged import gather_logged
from gitrun.recording.measuring import measure
from gitrun.recording.rooting import read_lines, write_lines
from gitrun.recording.surveying import settle_installed
from gitrun.recording.system_series import keep_system_series

OUTPUTS = ("outputs",)
OF_THE_RUN = ("system", "metrics")  # what all members together bring
TOGETHER = (*OUTPUTS, *OF_THE_RUN)


class Subject(NamedTuple):
    """A run whose command has ended."""

    context: Context
    live: LiveDirectory
    draft: dict[str, Any]
    observed: Observed
    redactor: Redactor
    owners: Owners


def observe(
    context: Context, live: LiveDirectory, draft: dict[str, Any], *, keep: bool = False, alone: bool = True
) -> None:
    """Adds to a draft what its processes reported, unless that was done; the caller holds the seal lock.

    `keep`: they may report more, so the live directory's draft stays as it was. Not `alone`: other members of the run
    may go on, and what is theirs as well waits for `observe_together`. Raises DiskFull or NotWritable
    where the live directory does not take it, and GitrunError where the metrics cannot be written now.
    """
    facts = draft.setdefault("live", {})
    if facts.get("observed"):
        return
    _look(context, live, draft, lambda topic: alone or topic not in TOGETHER)
    facts["observed"] = True
    if not keep:
        live.write_draft(draft)


def observe_together(context: Context, live: LiveDirectory, draft: dict[str, Any], topics: tuple[str, ...]) -> None:
    """Adds facts that several members have in common, once the last of them has ended; raises as `observe`."""
    _look(context, live, draft, lambda topic: topic in topics)
    live.write_draft(draft)


def _look(context: Context, live: LiveDirectory, draft: dict[str, Any], wanted: Callable[[str], bool]) -> None:
    coverage = draft.setdefault("coverage", {})
    redactor = Redactor(context.environ)

    def guarded(topic: str, fact: Callable[[], Any]) -> None:
        try:
            said = fact()
        except Exception as problem:  # a bug in one fact must not cost the run the others
            words = redactor.text(f"{type(problem).__name__}: {problem}")
            if topic == "metrics":  # the program was told that they are kept, and sealing would remove them
                raise problem if isinstance(problem, GitrunError) else _unsealed(words) from problem
            said = [f"not captured: {words}"]
        if said is not None:
            coverage[topic] = said

    def observed() -> Any:
        subject = Subject(context, live, draft, read_observed(live.member), redactor, Owners())
        for topic, fact in (
            ("environment", _environment),
            ("native", _natives),
            ("installed", _installed),
            ("loaded", _loaded),
            ("secrets", tell_exposed),
            ("artifacts", gather_logged),
            ("outputs", _outputs),
            ("config", _config),
            ("inputs", _inputs),
            ("seeds", _seeds),
            ("group", _group),
            ("system", keep_system_series),
        ):
            if wanted(topic):
                guarded(topic, partial(fact, subject))
        return _child(subject)

    guarded("child", observed)
    if wanted("metrics"):
        guarded("metrics", lambda: measure(live, draft, redactor))


def _unsealed(words: str) -> GitrunError:
    return GitrunError(
        f"the metrics could not be written: {words}", kept="all of it is in the live directory", next="gitrun recover"
    )


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


def _outputs(subject: Subject) -> Any:
    if not _ran_here(subject):
        return ["the outputs were not looked for: it was sealed from another place than it ran at"]
    return gather(subject)


def _inputs(subject: Subject) -> Any:
    if not _ran_here(subject):
        return ["what it read was not looked at: it was sealed from another place than it ran at"]
    return consume(subject)


def _installed(subject: Subject) -> Any:
    observed = subject.observed if subject.observed.processes and _ran_here(subject) else None
    cache = os.path.join(subject.context.gitrun_dir, "cache")
    return settle_installed(subject.live, subject.draft, observed, subject.owners, cache)


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
    files = loaded_files(subject.observed, draft["command"], started_in(draft), worktree)
    with reader_on_demand(context.archive) as reader:
        finder = Finder(
            Whereabouts(Territory(worktree, list(paths.items()), prefixes), subject.owners.below),
            HeldSource(source, lines, reader),
            paths,
            worktree,
            context.archive.object_format,
            os.stat(os.path.join(live.member, "header.json")).st_mtime_ns,
        )
        found, shelf = finder.find(files, context.store, Limits(*(limit(draft, key) for key in LIMITS)))
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
    left_out = LeftOut(excluded, worktree)
    left_out.forget_counts()
    left_out.count(found.lines)
    excluded += [entry for entry in found.left_out if entry["path"] not in named]
    if excluded:
        source["excluded"] = sorted(excluded, key=lambda entry: path_bytes(entry["path"]))
