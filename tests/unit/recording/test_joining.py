"""Which run a process joins, and who gets a key."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.errors import GitrunError
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.monitor import SILENT
from gitrun.recording.context import Context
from gitrun.recording.joining import asked_to_join, create_or_join
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import make_header
from gitrun.recording.request import Join

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"}


def run_id(n: int) -> str:
    return f"20261124-061246-{n:06d}"


@pytest.fixture
def context(make_repo: Callable[..., Path]) -> Context:
    repo = discover(str(make_repo()), find_git(environ=os.environ), os.environ)
    return Context(repo, repo.gitrun_dir(os.environ), os.environ, SILENT)


def come(context: Context, n: int, rank: int | None = None, key: str = "k") -> tuple[LiveDirectory, object]:
    header = make_header(context.archive.common_dir)
    return create_or_join(context, run_id(n), Join(key, None, rank), header, 5.0)


def test_a_step_is_one_run_without_asking() -> None:
    found = asked_to_join(None, None, STEP)
    assert found is not None and (found.members, found.rank) == (4, 1)
    assert asked_to_join(None, None, {**STEP, "SLURM_PROCID": "3"}) == found._replace(rank=3)
    for more in ({"SLURM_STEP_ID": "1"}, {"SLURM_RESTART_COUNT": "1"}, {"SLURM_CLUSTER_NAME": "other"}):
        other = asked_to_join(None, None, {**STEP, **more})
        assert other is not None and other.key != found.key


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},
        {name: value for name, value in STEP.items() if name != "SLURM_STEP_ID"},  # a batch script
        {**STEP, "GITRUN_RUN_ID": run_id(1)},  # inside a recorded command
    ],
)
def test_all_else_is_a_run_alone(environ: dict[str, str]) -> None:
    assert asked_to_join(None, None, environ) is None
    assert asked_to_join("", None, STEP) is None
    assert asked_to_join("k", "3", environ) == Join("k", 3, asked_to_join("k", None, environ).rank)  # type: ignore[union-attr]


def test_the_first_makes_the_run_and_the_others_join(context: Context) -> None:
    first, _lock = come(context, 1)
    first.write_draft({"source": {"tree": "t"}, "worktree": "/w", "live": {"snapshot": "s"}})
    found = [come(context, n)[0] for n in (2, 3)]
    assert [(one.run_id, one.n) for one in (first, *found)] == [(run_id(1), 0), (run_id(1), 1), (run_id(1), 2)]
    assert come(context, 4, key="other")[0].run_id == run_id(4)
    assert sorted(os.listdir(os.path.join(context.gitrun_dir, "live"))) == [run_id(1), run_id(4)]


def test_a_rank_joins_a_run_once(context: Context) -> None:
    first, _lock = come(context, 1, rank=0)
    first.write_draft({})
    assert come(context, 2, rank=1)[0].run_id == run_id(1)
    second, _other = come(context, 3, rank=0)
    assert (second.run_id, second.n) == (run_id(3), 0)
    second.write_draft({})
    assert come(context, 4, rank=2)[0].run_id == run_id(1), "it has not been in the first one yet"
    assert come(context, 5, rank=1)[0].run_id == run_id(3)


def test_a_run_that_was_given_up_is_not_waited_for(context: Context) -> None:
    first, lock = come(context, 1)
    first.remove()
    lock.release()  # type: ignore[attr-defined]
    assert come(context, 2)[0].run_id == run_id(2)


def test_a_first_member_that_fails_while_others_wait(context: Context) -> None:
    first, lock = come(context, 1)
    threading.Timer(0.3, lambda: (first.withdraw(), lock.release())).start()  # type: ignore[attr-defined]
    assert come(context, 2)[0].run_id == run_id(2)


def test_a_first_member_that_never_gets_ready(context: Context) -> None:
    _first, _lock = come(context, 1)
    began = time.monotonic()
    with pytest.raises(GitrunError, match="cannot be joined"):
        create_or_join(context, run_id(2), Join("k"), make_header(context.archive.common_dir), 0.3)
    assert time.monotonic() - began < 5
    assert _first.numbers() == [0], "who could not join has left nothing"


def test_many_at_once_are_one_run(context: Context) -> None:
    found: list[tuple[LiveDirectory, object]] = []

    def one(n: int) -> None:
        live, lock = come(context, n, rank=n)
        if live.n == 0:
            live.write_draft({})
        found.append((live, lock))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({live.run_id for live, _ in found}) == 1
    assert sorted(live.n for live, _ in found) == list(range(8))
    assert os.listdir(os.path.join(context.gitrun_dir, "live")) == [found[0][0].run_id]
