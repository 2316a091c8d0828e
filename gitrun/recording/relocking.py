"""Locking a run's environment after the run: what could not be resolved then is resolved now, as an annotation.

The record says what was installed, the source tree has the project's lockfiles as they were, and an index still has
what it had. Only wheels can no longer be made where the environment is gone, or is another one by now: each
distribution's RECORD is compared before it is vendored. The result never makes a run worse: it counts when it locks
something that was not locked before.
"""

import os
from contextlib import ExitStack
from typing import Any

from gitrun.archive.annotations import LOCK, annotate
from gitrun.archive.archive import Archive
from gitrun.archive.lockfile import lockfile
from gitrun.archive.run import Run
from gitrun.capture.interpreter import read_interpreter
from gitrun.capture.lock.answers import Answers
from gitrun.capture.lock.making import NONE, Made, Options, Subject, make_lock
from gitrun.capture.lock.sources import MAX_BYTES, MAX_FILES, Source, is_source, rank
from gitrun.errors import DamagedRecord, GitrunError, LiveElsewhere
from gitrun.files.write import make_dirs
from gitrun.git.trees import DIRECTORY, TreeEntry, read_tree
from gitrun.model.canonical import path_bytes
from gitrun.recording.locking import UNFINISHED


def lock_run(archive: Archive, run: Run, *, again: bool = False) -> dict[str, Any]:
    """Locks a sealed run's environment where that is not done; its `lock` as the JSON contract has it.

    `again` asks even where nothing is missing. Raises LiveElsewhere for a run being recorded, and GitrunError where
    no lockfile can be made.
    """
    if run.is_live:
        raise LiveElsewhere(f"run {run.id} is being recorded", kept="the run", next="wait for its end")
    before = {**UNFINISHED, **(run.to_json(full=False)["lock"])}
    if before["state"] != NONE and not before["missing"] and not again:
        return before
    with ExitStack() as promises:

        def session() -> Any:
            return promises.enter_context(archive.store.session())

        options = Options(*(archive.settings.get(f"lock.{name}") for name in Options._fields))
        cache = os.path.join(archive.gitrun_dir, "cache")
        make_dirs(cache)
        subject = _subject(archive, run, cache)
        made = make_lock(subject, options, Answers(cache), session, lambda: False, lambda made: None, again=True)
        if made.lock["state"] == NONE:
            raise GitrunError(f"no lockfile could be made of run {run.id}: {made.lock['reason']}", kept="the run")
        if _is_better(before, made, again):
            _keep(archive, run, made, session())
            return made.lock
    return before


def _is_better(before: dict[str, Any], made: Made, again: bool) -> bool:
    return again or before["state"] == NONE or len(made.lock["missing"]) < len(before["missing"])


def _keep(archive: Archive, run: Run, made: Made, session: Any) -> None:
    """Says it: content into the store first, durably, then the event that names it."""
    place = None
    if made.pylock is not None:
        content = session.put_bytes(made.pylock)
        chunks = [[blob, length] for blob, length in content.chunks]
        place = {"bytes": content.bytes, "sha256": content.sha256, "chunks": chunks}
    session.commit()
    body = {**made.lock, "pylock": place, "wheels": list(made.vendored)}
    named = [place, *made.vendored] if place is not None else list(made.vendored)
    blobs = sorted({blob for item in named for blob, _ in item["chunks"]})
    annotate(archive.repo, archive.gitrun_dir, archive.environ, archive.objects.reader, run.id, LOCK, body, blobs)
    archive.objects.forget_events()
    assert lockfile(archive, run) == made.pylock, "what was kept is what was made"


def _subject(archive: Archive, run: Run, scratch: str) -> Subject:
    environment = run.value("environment.json")
    place = (run.record.get("parts") or {}).get("environment.json") or {}
    if not isinstance(environment, dict) or "sha256" not in place:
        raise GitrunError(f"run {run.id} has no description of its environment", kept="the run")
    interpreter = run.record.get("interpreter")
    interpreter = interpreter if isinstance(interpreter, dict) else {}
    python = interpreter.get("executable")
    python = python if isinstance(python, str) and _is_the_same(python, environment) else None
    prefix = interpreter.get("prefix")
    return Subject(
        environment, place["sha256"], python, prefix if python and isinstance(prefix, str) else None, archive.environ,
        os.fsencode(os.getcwd()), _sources(archive, run), scratch,
    )  # fmt: skip


def _is_the_same(python: str, environment: dict[str, Any]) -> bool:
    """Whether the interpreter is still there, in the version that was recorded."""
    if not os.path.isabs(python) or not os.access(python, os.X_OK):
        return False
    recorded = environment.get("python")
    return isinstance(recorded, dict) and read_interpreter(path_bytes(python), {}, b"/").version == recorded.get(
        "version"
    )


def _sources(archive: Archive, run: Run) -> list[Source]:
    """The project's lockfiles out of the run's source tree: of the command's directory and those above it."""
    cwd, tree = run.record.get("cwd"), run.source_tree
    if tree is None:
        return []
    words = [] if not isinstance(cwd, str) or cwd in ("", ".") or cwd.startswith("/") else cwd.split("/")
    levels = [("", _entries(archive, tree))]
    for word in words:
        prefix, entries = levels[-1]
        below = next((entry for entry in entries if entry.name == path_bytes(word) and entry.mode == DIRECTORY), None)
        if below is None:
            break
        levels.append((f"{prefix}{word}/", _entries(archive, below.oid)))
    found: list[Source] = []
    for prefix, entries in reversed(levels):
        more = next((entry for entry in entries if entry.name == b"requirements" and entry.mode == DIRECTORY), None)
        here = {_name(entry): entry for entry in entries}
        if more is not None:
            here.update(("requirements/" + _name(entry), entry) for entry in _entries(archive, more.oid))
        found += _files(archive, prefix, here)
    return found[:MAX_FILES]


def _files(archive: Archive, prefix: str, entries: dict[str, TreeEntry]) -> list[Source]:
    found = []
    for name in sorted((name for name in entries if is_source(name)), key=rank):
        if entries[name].mode != DIRECTORY:
            data = archive.objects.blob(entries[name].oid)
            if len(data) <= MAX_BYTES:
                found.append(Source(prefix + name, data))
    return found


def _name(entry: TreeEntry) -> str:
    return entry.name.decode("utf-8", "backslashreplace")


def _entries(archive: Archive, tree: str) -> list[TreeEntry]:
    try:
        return read_tree(archive.objects.reader, tree)
    except KeyError as problem:
        raise DamagedRecord(f"the source tree {tree} is not in the repository", next="git fsck") from problem
