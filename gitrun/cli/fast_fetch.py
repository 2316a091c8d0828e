"""`gitrun fetch`: bring runs from a Git remote."""

from __future__ import annotations

import sys
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.run import SealedRun
from gitrun.cli.common import open_archive, print_json
from gitrun.cli.problems import guarded
from gitrun.cli.sharing import refusals_json, split_remote, stores_of, tell_refused
from gitrun.cli.sharing_options import FETCH_OPTIONS, Asked, fetch_help, parse
from gitrun.errors import GitrunError
from gitrun.git.transport import Remote
from gitrun.model.listing import plural
from gitrun.remote.bringing import Bringing
from gitrun.remote.bringing import Brought as Blobs
from gitrun.remote.fetching import Brought, bring, plan_fetch
from gitrun.remote.needs import steps_of
from gitrun.ui.terminal import Screen, stderr
from gitrun.ui.words import size

_NONE = Blobs(0, 0, [], {})


def main(words: list[str]) -> int:
    """Runs `gitrun fetch WORDS`; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return guarded(lambda: fetch(words))


def fetch(words: list[str]) -> int:
    """As `main`, for a caller that has its own way to end; raises GitrunError."""
    asked = parse("fetch", FETCH_OPTIONS, words)
    if "help" in asked.options:
        print(fetch_help(), end="")
        return 0
    with open_archive() as archive:
        remote, texts = split_remote(archive, asked.words)
        wanted = plan_fetch(archive, remote, texts, archive.monitor)
        done = bring(archive, wanted, archive.monitor)
        files = "artifacts" in asked.options
        here = [run_id for run_id in done.already if run_id in wanted.meant] if files else []
        blobs = _blobs(archive, remote, [*done.fetched, *here], files=files)
    if "json" in asked.options:
        print_json(_json(remote, done, blobs))
    _tell(stderr(), remote, done, blobs, asked)
    return 1 if done.refused or blobs.missing or blobs.problems else 0


def _blobs(archive: Archive, remote: Remote, run_ids: list[str], *, files: bool) -> Blobs:
    """What the records of runs need of the remote's store, with `files` also what they read and wrote."""
    commits = archive.sealed()
    runs = [SealedRun(archive.objects, run_id, commits[run_id]) for run_id in run_ids if run_id in commits]
    needing = [run for run in runs if _needs_blobs(archive, run, files)]
    if not needing:
        return _NONE
    with Bringing(archive, stores_of(archive, remote), archive.monitor) as bringing:
        return bringing.runs(needing, files=files)


def _needs_blobs(archive: Archive, run: SealedRun, files: bool) -> bool:
    try:
        for step in steps_of(archive, run, files=files):
            if any(not archive.store.has(blob) for blob in step):
                return True
    except GitrunError:
        return True  # whoever brings them says what is wrong
    return False


def _json(remote: Remote, done: Brought, blobs: Blobs) -> dict[str, Any]:
    return {
        "remote": remote.name,
        "runs": done.fetched,
        "already": done.already,
        "left": done.left,
        "refused": refusals_json(done.refused),
        "annotations": done.annotations,
        "bytes_received": done.received_bytes + blobs.bytes,
        "blobs_received": blobs.blobs,
        "blobs_missing": blobs.missing,
    }


def _tell(screen: Screen, remote: Remote, done: Brought, blobs: Blobs, asked: Asked) -> None:
    tell_refused(screen, done.refused, "taken")
    for run_id, problem in blobs.problems.items():
        screen.line(f"gitrun: {run_id[-6:]}: {harmless(problem.message)}")
    if blobs.missing:
        screen.line(
            f"gitrun: {plural(len(blobs.missing), 'blob')} are not in the store of {harmless(remote.name)} (E034)"
        )
    if not asked.options.isdisjoint(("quiet", "json")):
        return
    said = ", and what was said of runs" if done.annotations else ""
    left = f", {len(done.left):,} left there" if done.left else ""
    total = size(done.received_bytes + blobs.bytes)
    if done.fetched or blobs.blobs:
        screen.line(f"gitrun: {plural(len(done.fetched), 'run')} from {harmless(remote.name)}, {total}{said}{left}")
        screen.line("  next: gitrun ls")
    else:
        screen.line(f"gitrun: nothing new from {harmless(remote.name)}{said}{left}")
