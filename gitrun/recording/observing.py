"""What a run turned out to be: facts that are known only when it has ended, added to its draft before it is sealed.

The Python processes of a run say what they loaded, how they were configured, which seeds they set; that lies in the
member's directory, also after a kill. Here it is read once, judged, and written into the live directory: parts first,
then the draft, which says that it is done. Whoever seals afterwards, the recorder or a rescuer, reads the same.

Most runs have something to tell for a few of these facts, and a short one waits for each module that is loaded. So a
fact's modules are loaded where there is one; where the command takes its time, all of them are (`ahead`).

Each fact is guarded by itself: whatever goes wrong with one, a bug as well, is a sentence under `coverage`.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gitrun.capture.child_coverage import child_coverage
from gitrun.capture.group import observed_group
from gitrun.capture.imports import worktree_of
from gitrun.capture.observed import Observed, read_observed
from gitrun.capture.ownership import Owners
from gitrun.capture.secrets import Redactor
from gitrun.child.frames import ARTIFACTS, METRICS, SYSTEM
from gitrun.errors import GitrunError
from gitrun.files.holder import here
from gitrun.model.canonical import path_bytes
from gitrun.recording.consuming import consume
from gitrun.recording.context import Context
from gitrun.recording.gathering import gather
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import read_header
from gitrun.recording.loading import keep_loaded
from gitrun.recording.member import has_files
from gitrun.recording.rooting import EXTRA

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
            ("secrets", _exposed),
            ("artifacts", _logged),
            ("outputs", _outputs),
            ("config", _config),
            ("inputs", _inputs),
            ("seeds", _seeds),
            ("group", _group),
            ("system", _system),
        ):
            if wanted(topic):
                guarded(topic, partial(fact, subject))
        return _child(subject)

    guarded("child", observed)
    if wanted("metrics"):
        guarded("metrics", lambda: _metrics(live, draft, redactor))


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
    if not subject.observed.processes or not _ran_here(subject):
        return None  # what was found out where it ran stands
    from gitrun.recording.actual_environment import settle_environment

    return settle_environment(subject.live, subject.draft, subject.observed, subject.context.gitrun_dir)


def _natives(subject: Subject) -> Any:
    if not any(process.mapped for process in subject.observed.processes) or not _ran_here(subject):
        return None
    from gitrun.recording.actual_environment import describe_libraries

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
    if not subject.observed.processes and not subject.draft["live"].get("sites"):
        return None
    from gitrun.recording.surveying import settle_installed

    observed = subject.observed if subject.observed.processes and _ran_here(subject) else None
    cache = os.path.join(subject.context.gitrun_dir, "cache")
    return settle_installed(subject.live, subject.draft, observed, subject.owners, cache)


def _config(subject: Subject) -> Any:
    if not any(process.configs for process in subject.observed.processes):
        return None
    from gitrun.recording.configuring import configure

    return configure(subject.live, subject.draft, subject.observed, subject.redactor)


def _seeds(subject: Subject) -> Any:
    if not subject.observed.processes:
        return None
    from gitrun.capture.processes import describe_processes

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


def _loaded(subject: Subject) -> Any:
    if not _ran_here(subject):
        return ["what it loaded was not looked at: it was sealed from another place than it ran at"]
    return keep_loaded(subject)


def _exposed(subject: Subject) -> Any:
    if EXTRA not in subject.live.part_paths():
        return None
    from gitrun.recording.exposing import tell_exposed

    return tell_exposed(subject)


# -- what was written into the live directory


def _logged(subject: Subject) -> Any:
    if not has_files([subject.live.member], ARTIFACTS):
        return None
    from gitrun.recording.logged import gather_logged

    return gather_logged(subject)


def _system(subject: Subject) -> Any:
    if not has_files(subject.live.members(), SYSTEM):
        return None
    from gitrun.recording.system_series import keep_system_series

    return keep_system_series(subject)


def _metrics(live: LiveDirectory, draft: dict[str, Any], redactor: Redactor) -> Any:
    if not draft["live"].get("metric_files") and not has_files(live.members(), METRICS):
        return None
    from gitrun.recording.measuring import measure

    return measure(live, draft, redactor)
