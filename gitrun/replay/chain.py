"""A whole chain of resumed runs, replayed from its first leg to its last: each goes on from what the last left.

Each leg is a replay of its own, with its own verdict. The verdict on the chain is that of the last leg, and no better
than that of any leg before: where an early one differs, all that follows rests on other files. A leg that did not
complete was cut off somewhere; its replay is stopped where the leg had logged its last step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitrun.archive.chains import earlier_legs
from gitrun.archive.run import Run
from gitrun.archive.verdicts import WEAKEST_FIRST
from gitrun.errors import GitrunError
from gitrun.model.ids import new_run_id, short
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.carrying import Carried
from gitrun.replay.consoles import Pieces
from gitrun.replay.prefix import Goal
from gitrun.replay.rerun import Leg, Replayed, Wishes, not_started, replay
from gitrun.replay.stage import REPLAYS
from gitrun.replay.verdict import INTERRUPTED, Options

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive


def replay_chain(
    archive: Archive,
    run: Run,
    read_console: Callable[[Run], Pieces],
    *,
    options: Options,
    wishes: Wishes,
    monitor: Monitor = SILENT,
) -> Replayed:
    """Repeat the runs that led to `run`, then `run`, with one verdict; raises as `replay` does.

    Raises GitrunError as well where the first leg is not in the archive any more.
    """
    legs = [*earlier_legs(archive, run), run]
    if legs[0].summary.resumed_from:
        missing = legs[0].summary.resumed_from
        raise GitrunError(
            f"run {missing}, which run {legs[0].id} goes on from, is not in this archive",
            next=f"gitrun replay {short(run.id)}",
        )
    home = os.path.join(archive.gitrun_dir, REPLAYS)
    carried = Carried(os.path.join(home, f"{new_run_id(time.time(), os.urandom(4))}.carried"))
    told: list[dict[str, Any]] = []
    try:
        for leg in legs:
            is_last = leg is legs[-1]

            def amend(verdict: dict[str, Any], is_last: bool = is_last) -> None:
                if is_last:
                    _sum_up(verdict, told)

            done = replay(
                archive,
                leg,
                read_console,
                options=options,
                goal=None if is_last else _goal(leg),
                wishes=wishes if is_last else wishes._replace(keep=False),
                leg=Leg(carried, amend),
                monitor=monitor,
            )
            if done.exit_code == INTERRUPTED or is_last:
                break
            if done.verdict["replay"] is None:
                causes = [f"leg {leg.id} was not started: {cause}" for cause in done.verdict["causes"]]
                return not_started(run, causes)
            told.append(_leg(done.verdict))
        return done
    finally:
        carried.remove()


def _goal(leg: Run) -> Goal | None:
    """Where the replay of a leg ends that was cut off; None for one that came to its end, or logged no step."""
    if leg.summary.status == "completed":
        return None
    metrics = leg.record.get("metrics")
    found = [each.get("last_step") for each in metrics.values()] if isinstance(metrics, dict) else []
    steps = [step for step in found if type(step) is int]
    return Goal(step=max(steps)) if steps else None


def _leg(verdict: dict[str, Any]) -> dict[str, Any]:
    return {name: verdict[name] for name in ("run", "replay", "verdict", "accepted")}


def _sum_up(verdict: dict[str, Any], told: list[dict[str, Any]]) -> None:
    """Add the legs before to the verdict on the last one, which is no better than any of theirs."""
    verdict["chain"] = [*told, _leg(verdict)]
    worst = min((each["verdict"] for each in verdict["chain"]), key=WEAKEST_FIRST.index)
    if worst != verdict["verdict"]:
        first = next(each for each in told if each["verdict"] == worst)
        verdict["causes"] = [f"leg {first['run']} of the chain: {worst}", *verdict["causes"]]
        verdict["verdict"] = worst
    verdict["accepted"] = all(each["accepted"] for each in verdict["chain"])
