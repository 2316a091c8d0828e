"""Preparing a run: everything a rescuer needs is on disk before the command starts.

A recorder may be killed at any line from here on. So the live directory comes first, then a ref that pins the
source, then the draft of the record: whatever is accepted can be found again. And where one of it fails, nothing may
be left behind: a run that never was must not be recovered as a lost one.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from gitrun.errors import GitrunError, NotWritable
from gitrun.files.locks import FileLock
from gitrun.files.write import write_all, write_file
from gitrun.git.head import read_head
from gitrun.git.refs import LIVE, create, delete
from gitrun.git.repository import Repository
from gitrun.model.canonical import encode_line, path_text
from gitrun.model.ids import is_run_id, new_run_id
from gitrun.model.times import iso
from gitrun.monitor import Monitor
from gitrun.recording.context import Context
from gitrun.recording.facts import FactFinder, Subject, redacted_command
from gitrun.recording.live import INPUTS, LIMITS, OUTPUTS, LiveDirectory, live_beside
from gitrun.recording.liveness import make_header
from gitrun.recording.request import Earlier, RecordRequest
from gitrun.settings import Settings


class Prepared(NamedTuple):
    """A run that can start: everything a rescuer needs is on disk."""

    context: Context
    settings: Settings
    live: LiveDirectory
    lock: FileLock
    draft: dict[str, Any]
    facts: FactFinder
    pinned: str | None
    snapshot: Any
    earlier: Earlier | None
    archive_id: tuple[int, int]  # device and inode of the archive's Git directory

    def archive_is_there(self) -> bool:
        """Whether the archive is where it was; another directory may have its name by now."""
        try:
            return directory_id(self.context.archive.common_dir) == self.archive_id
        except OSError:
            return False


def prepare(
    request: RecordRequest,
    repo: Repository,
    archive: Repository,
    settings: Settings,
    environ: Mapping[str, str],
    monitor: Monitor,
) -> Prepared:
    """Makes a run ready for its command; whatever the problem, nothing is left behind."""
    context = Context(archive, archive.gitrun_dir(environ), environ, monitor)
    run_id = request.run_id or new_run_id(time.time(), os.urandom(4))
    live, lock = _begin(request, context, repo, settings, run_id)
    run_id = live.run_id
    try:
        if request.resume is not None and live.n == 0:
            from gitrun.recording.resuming import resume  # reads the archive

            request = resume(request, repo, archive, settings, environ, monitor)
        pinned = None
        if live.n == 0 and repo.common_dir == archive.common_dir and (head := read_head(repo).commit):
            create(plain_refs(archive), LIVE + run_id, head)
            pinned = head
        snapshot = request.source if live.n == 0 else _source_of_founder(live)
        snapshot = snapshot or _take_snapshot(context, repo, settings)
        try:
            facts, draft = _draft(request, context, repo, live, settings, snapshot)
            if live.n and (told := _strange_source(live, request, snapshot)):
                draft["coverage"]["source"] = told
            write_extra(live, snapshot)
        finally:
            if request.source is None:
                snapshot.release()
        facts.before_the_start()
        live.write_draft(draft)
        if request.id_file is not None:
            _write_id(request.id_file, run_id)
        archive_id = directory_id(archive.common_dir)
        earlier = request.earlier
        return Prepared(context, settings, live, lock, draft, facts, pinned, snapshot, earlier, archive_id)
    except BaseException:
        undo(context, live, lock)
        raise


def _begin(
    request: RecordRequest, context: Context, repo: Repository, settings: Settings, run_id: str
) -> tuple[LiveDirectory, FileLock]:
    """The live directory of a new run, or this process as a member of one; its lock is held."""
    header = make_header(context.archive.common_dir, request.worktree or repo.worktree)
    if request.join is None:
        return LiveDirectory.create(context.gitrun_dir, run_id, header)
    from gitrun.recording.joining import create_or_join

    return create_or_join(context, run_id, request.join, header, settings.get("record.join_wait"))


def _source_of_founder(live: LiveDirectory) -> Any:
    from gitrun.recording.joining import founder_of

    return founder_of(live)


def _strange_source(live: LiveDirectory, request: RecordRequest, snapshot: Any) -> list[str]:
    from gitrun.recording.joining import strange_source

    return strange_source(live, snapshot, None if request.source is None else request.source.tree)


def directory_id(path: str) -> tuple[int, int]:
    """Device and inode; raises OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def write_extra(live: LiveDirectory, snapshot: Any) -> None:
    """Writes the part that lists the files which the store keeps."""
    if snapshot.extra:
        live.write_part("extra.jsonl", b"".join(map(encode_line, snapshot.extra)))


def undo(context: Context, live: LiveDirectory, lock: FileLock) -> None:
    """Removes what was prepared, after a problem that is the one to report; `recover` removes what stays."""
    if live.n == 0:
        with suppress(GitrunError, OSError):  # see above
            delete(plain_refs(context.archive), LIVE + live.run_id)
    live.withdraw()
    lock.release()


def _write_id(path: str, run_id: str) -> None:
    """Writes the run's id: a device, a fifo or what a link leads to is written to, and never replaced."""
    data = run_id.encode() + b"\n"
    try:
        if not os.path.islink(path) and (os.path.isfile(path) or not os.path.exists(path)):
            write_file(path, data, sync=False)
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY, 0o666)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
    except (GitrunError, OSError) as problem:
        cause = problem if isinstance(problem, OSError) else problem.__cause__
        words = (cause.strerror if isinstance(cause, OSError) else None) or str(problem)
        raise NotWritable(f"--id-file {path}: {words}") from problem


def _take_snapshot(context: Context, repo: Repository, settings: Settings) -> Any:
    from gitrun.capture.snapshot import take_snapshot

    return take_snapshot(repo, context.archive, context.store, settings, context.monitor, environ=context.environ)


def _draft(
    request: RecordRequest, context: Context, repo: Repository, live: LiveDirectory, settings: Settings, snapshot: Any
) -> tuple[FactFinder, dict[str, Any]]:
    """The record as far as it is known before the command starts, and who finds out the rest."""
    from gitrun.capture.facts import place
    from gitrun.capture.group import default_group
    from gitrun.capture.secrets import Redactor

    environ = context.environ if request.variables is None else request.variables
    cwd = os.fsencode(request.workdir or os.getcwd())
    top = request.worktree or repo.worktree
    worktree = os.fsencode(top) if top else None
    redactor = Redactor(environ)
    links = {**request.links}
    if is_run_id(parent := context.environ.get("GITRUN_RUN_ID", "")):
        links.setdefault("parent", parent)
    group = request.group if request.group is not None else default_group(environ, cwd, worktree)
    remotes = {name: redactor.text(url) for name, url in (snapshot.source.get("remotes") or {}).items()}
    draft: dict[str, Any] = {
        "format": 1,
        "requires": [],
        "id": live.run_id,
        "status": "running",
        "name": redactor.text(request.name) if request.name is not None else None,
        "tags": list(map(redactor.text, request.tags)),
        "notes": [redactor.text(request.note)] if request.note else [],
        "claims": list(map(redactor.text, request.claims)),
        "group": redactor.text(group) if group else None,
        "command": redacted_command(request.command, redactor),
        "cwd": place(cwd, worktree),
        "worktree": top,
        "started_at": iso(time.time_ns()),
        "ended_at": None,
        "duration_s": None,
        "exit": None,
        "links": links,
        "source": {**snapshot.source, "remotes": remotes, "snapshot": snapshot.commit},
        "process": {"variables": {}},
        **_asked(request),
        "members": [{"n": live.n, "host": os.uname().nodename, "rank": request.join and request.join.rank}],
        "coverage": {},
        "origin": None,
        "live": _needed_to_seal(request, context, live, settings, snapshot, worktree),
    }

    def add_roots(paths: Iterable[bytes]) -> list[str]:
        from gitrun.recording import rooting  # only where something is installed from elsewhere

        return rooting.add_roots(context, settings, live, draft, paths)

    subject = Subject(
        request.command, environ, cwd, worktree, request.config_files, request.inputs,
        tuple(settings.get("record.variables")), context.gitrun_dir, redactor, add_roots,
        settings.get,
    )  # fmt: skip
    return FactFinder(subject, live, draft), draft


def _asked(request: RecordRequest) -> dict[str, Any]:
    """The files and patterns that the user named, which a replay has to look for as well."""
    named = {
        "config": request.config_files, "outputs": request.outputs, "keep": request.keep, "no_keep": request.no_keep,
        "metrics": request.metrics,
    }  # fmt: skip
    asked = {name: list(map(path_text, patterns)) for name, patterns in named.items() if patterns}
    return {"asked": asked} if asked else {}


def _needed_to_seal(
    request: RecordRequest, context: Context, live: LiveDirectory, settings: Settings, snapshot: Any, worktree: Any
) -> dict[str, Any]:
    """The part of a draft that is for whoever seals it."""
    keys = (*LIMITS, *(f"record.{name}" for name in (*OUTPUTS, *INPUTS)))
    return {
        "snapshot": snapshot.commit,
        "pack": snapshot.pack._asdict() if snapshot.pack is not None else None,
        "finished": False,
        "limits": {key: settings.get(key) for key in keys},
        "group_given": request.group is not None,
        "output_patterns": list(map(path_text, request.outputs)),
        "keep": list(map(path_text, request.keep)),
        "no_keep": list(map(path_text, request.no_keep)),
        "metric_files": list(map(path_text, request.metrics)),
        "own_files": [os.path.abspath(request.id_file)] if request.id_file is not None else [],
        "join": None if request.join is None else {"members": request.join.members},
        "neighbours": live_beside(context.gitrun_dir, live.run_id),
        "tree_clock_ns": None if worktree is None else _clock_ns(worktree, live.member),
    }


def _clock_ns(worktree: bytes, member: str) -> int | None:
    """The time by the clock of the tree's file system, where the live directory lies on another one."""
    if os.stat(worktree).st_dev == os.stat(member).st_dev:
        return None  # what the keeper writes is stamped by the same clock
    try:
        fd = os.open(worktree, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)  # a file that nobody sees
    except OSError:
        return None  # a file system without such files, or a tree that cannot be written
    try:
        return os.fstat(fd).st_ctime_ns
    finally:
        os.close(fd)


def plain_refs(archive: Repository) -> Repository:
    """The same repository, with its refs changed by lock files of our own: no git process for a single ref."""
    return archive._replace(git=None) if archive.ref_storage == "files" else archive
