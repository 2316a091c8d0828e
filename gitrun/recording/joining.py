"""Joining: several processes of one job, maybe on several hosts, make one run in a directory that they share.

They know each other by a key: that of `--join`, or the step of a Slurm job. Whoever comes first makes the run and
claims the key; who comes later finds the claim and becomes a further member, with a command, a console and an exit
of its own. A claim is a file that is linked to its name, which only one of them can do, also over NFS:

    <gitrun dir>/joins/<hash of the key>-<n>       the id of a run; n counts the runs that the key has had

A run that is over cannot be joined, and a task joins a run once: a script that records two commands makes two runs.
The source is that of the member that made the run. Thousands of tasks that each read the tree at the same moment
would hold up the file system for all, to find the same files; who runs in another directory says so.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from gitrun.capture.scheduler import find_placement
from gitrun.errors import GitrunError, from_os_error
from gitrun.files.holder import here
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, remove_quietly, write_file
from gitrun.git.refs import RUNS, read_ref
from gitrun.model.canonical import DecodeProblem
from gitrun.model.ids import is_run_id
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import DEAD, judge, read_header
from gitrun.recording.request import Join

_STEP_VARIABLES = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
# What the processes have in common that a launcher has started, and no others: the first proves that there is one.
_LAUNCHERS = (
    ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"),
    ("PMIX_NAMESPACE",),
    ("SLURM_STEP_ID", "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"),
)
_OLD_S = 30 * 86400.0
_POLL_S = 0.02


class Founder(NamedTuple):
    """The source of a run as a further member has it: that of the one who made the run."""

    source: dict[str, Any]
    commit: str | None
    pack: None = None
    watch: None = None
    extra: tuple[()] = ()

    def release(self) -> None:
        """There is nothing to let go of."""


def asked_to_join(key: str | None, members: str | None, environ: Mapping[str, str]) -> Join | None:
    """Which run to join: the one with the key of `--join`, else that of this Slurm step; None for a run alone.

    An empty key is none. A recording inside a recorded command is a run of its own.
    """
    ranks = find_placement(environ).ranks
    if key is not None:
        return Join(key, int(members) if members else ranks["world_size"], ranks["rank"]) if key else None
    tasks = environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS") or ""
    needed = [environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")]
    if environ.get("GITRUN_RUN_ID") or not tasks.isdecimal() or int(tasks) < 2 or not all(map(str.isdecimal, needed)):
        return None
    step = "\0".join(environ.get(name, "") for name in _STEP_VARIABLES)
    return Join(f"slurm\0{step}", int(tasks), int(environ["SLURM_PROCID"]))


def launched_together(environ: Mapping[str, str]) -> Join | None:
    """The run of all ranks of one launcher that record themselves, as many as come; None where there is no launcher.

    Within a recorded command it is one run as well, a child of that one.
    """
    ranks = find_placement(environ).ranks
    if ranks["rank"] is None or (ranks["world_size"] or 2) < 2:
        return None
    for proof, *others in _LAUNCHERS:
        if environ.get(proof):
            said = (environ.get(name, "") for name in (proof, *others, "GITRUN_RUN_ID"))
            return Join("\0".join((proof, *said)), None, ranks["rank"])
    return None


def create_or_join(
    context: Context, run_id: str, join: Join, header: dict[str, Any], wait_s: float
) -> tuple[LiveDirectory, FileLock]:
    """This process as a member of the run that has the key, its lock held; member 0 where it had to make the run.

    Raises GitrunError where the run cannot be joined after `wait_s` seconds, DiskFull or NotWritable.
    """
    deadline = time.monotonic() + wait_s
    header = {**header, "rank": join.rank}
    claims = _Claims(context.gitrun_dir, join.key)
    while True:
        known = claims.known()
        for claimed in known.values():
            live = LiveDirectory(os.path.join(context.gitrun_dir, "live", claimed))
            if (found := _enter(context, live, join, header, deadline)) is not None:
                return found
        live, lock = LiveDirectory.create(context.gitrun_dir, run_id, header)
        try:
            if claims.take(max(known, default=-1) + 1, run_id):
                return live, lock
        except BaseException:
            live.remove_if_possible()
            lock.release()
            raise
        live.remove_if_possible()  # somebody was faster: his is joined
        lock.release()


def founder_of(live: LiveDirectory) -> Founder:
    """The source of a run that this process has joined; raises DecodeProblem."""
    draft = live.of(0).read_draft() or {}
    source = {key: value for key, value in (draft.get("source") or {}).items() if key != "snapshot"}
    return Founder(source, (draft.get("live") or {}).get("snapshot"))


def strange_source(live: LiveDirectory, founder: Founder, own_tree: str | None) -> list[str]:
    """What to say where a member does not run from its run's source; `own_tree` is what it was given to run from."""
    mine, first = (read_header(live.of(n).member) or {} for n in (live.n, 0))
    if own_tree is not None:
        is_same = own_tree == founder.source.get("tree")
    else:
        is_same = mine.get("worktree") == first.get("worktree")
    where = (mine.get("worktree") or [None])[0]
    return [] if is_same else [f"it ran in {where} on {mine.get('host')}, and nobody looked at the files there"]


class _Claims:
    """The runs that a key has had."""

    def __init__(self, gitrun_dir: str, key: str) -> None:
        self._home = os.path.join(gitrun_dir, "joins")
        self._name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def known(self) -> dict[int, str]:
        """Their ids by number, the first one first."""
        make_dirs(self._home)
        found = {}
        for name in os.listdir(self._home):
            key, _, number = name.rpartition("-")
            if key == self._name and number.isdecimal():
                with (
                    suppress(FileNotFoundError),
                    open(os.path.join(self._home, name), encoding="ascii", errors="replace") as file,
                ):
                    found[int(number)] = file.read(64).strip()
        return {number: found[number] for number in sorted(found) if is_run_id(found[number])}

    def take(self, number: int, run_id: str) -> bool:
        """Whether the run is the one that has this number now."""
        self._forget_old()
        claim = os.path.join(self._home, f"{self._name}-{number}")
        begun = os.path.join(self._home, f"tmp-{run_id}")
        try:
            write_file(begun, run_id.encode() + b"\n", sync=False)
            os.link(begun, claim)
        except FileExistsError:
            return False
        except OSError as problem:
            raise from_os_error(problem, "claiming a key of several members") from problem
        finally:
            remove_quietly(begun)
        return True

    def _forget_old(self) -> None:
        """Removes claims that nobody can mean any more; that a file is old costs at most another run with its key."""
        for entry in os.scandir(self._home):
            with suppress(FileNotFoundError):  # somebody else removes them as well
                if time.time() - entry.stat().st_mtime > _OLD_S:
                    remove_quietly(entry.path)


def _enter(
    context: Context, live: LiveDirectory, join: Join, header: dict[str, Any], deadline: float
) -> tuple[LiveDirectory, FileLock] | None:
    """This process as a further member; None where the run is over, or this task has been one of its members."""
    if not live.exists() or read_ref(context.archive, RUNS + live.run_id) is not None:
        return None
    guard = live.seal_lock()
    try:
        if not guard.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise GitrunError(f"run {live.run_id} cannot be joined: it is being sealed", next="gitrun status")
    except GitrunError:
        if not live.exists():
            return None  # sealed meanwhile
        raise
    try:
        ranks = [(read_header(member) or {}).get("rank") for member in live.members()]
        if not live.exists() or judge(live, here()).state == DEAD or (join.rank is not None and join.rank in ranks):
            return None
        found, lock = live.join(header)
    finally:
        guard.release()
    is_ready = False
    try:
        is_ready = _has_draft(live, deadline)
    finally:
        if not is_ready:
            found.withdraw()
            lock.release()
    return (found, lock) if is_ready else None


def _has_draft(live: LiveDirectory, deadline: float) -> bool:
    """Waits until the run has its source; False where its first member has failed. Raises GitrunError in the end."""
    while time.monotonic() < deadline:
        try:
            if live.of(0).read_draft() is not None:
                return True
        except DecodeProblem:
            return False
        if not live.exists() or not os.path.isdir(live.of(0).member):
            return False
        time.sleep(_POLL_S)
    what = f"run {live.run_id} cannot be joined: its first member has not read its source yet"
    raise GitrunError(what, next="gitrun status")
