"""Leaving: a member's command has ended, and whoever is the last to leave seals the run for all.

What a member's processes reported is read where they ran, by the member itself. Then, holding the seal lock, it
looks whether anybody is left who neither has gone nor is proved dead. If so, a file `left` says that this one will not
come back, which counts as proof on every host. If not, it seals. So there always is a last one, also when all end
together, or when the last one is a rescuer.

Members that share a working tree cannot tell whose a new file is, so the last one of a tree looks for its outputs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from gitrun.errors import GitrunError
from gitrun.files.holder import Here, here
from gitrun.files.write import write_file
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import DEAD, LEFT, has_left, judge_member, read_header
from gitrun.recording.member import started_at_ns
from gitrun.recording.merging import was_started
from gitrun.recording.observing import OF_THE_RUN, OUTPUTS, observe, observe_together
from gitrun.recording.seal import SealedRun, seal_live

_POLL_S = 0.1


def leave(
    context: Context,
    live: LiveDirectory,
    draft: dict[str, Any],
    redact: Callable[[bytes], bytes],
    wait_s: float,
) -> SealedRun | int:
    """Leaves a run whose command has ended here: how many members go on, or the run that was sealed.

    The last one waits up to `wait_s` seconds for members that have not come yet.
    """
    observe(context, live, draft, alone=False)
    deadline = time.monotonic() + wait_s
    while True:
        with live.seal_lock():
            others = [member for member in live.members() if member != live.member and not _is_gone(member, here())]
            if others or not is_waiting(context, live, deadline):
                _tell_outputs(context, live, draft, others)
                if others:
                    _mark_left(live)
                    return len(others)
                return seal_together(context, live, redact=redact)
        time.sleep(_POLL_S)


def is_waiting(context: Context, live: LiveDirectory, deadline: float) -> bool:
    """Whether members may still come."""
    draft = live.of(0).read_draft() or {}
    expected = ((draft.get("live") or {}).get("join") or {}).get("members") or 0
    is_late = time.monotonic() >= deadline or context.stop_by() is not None
    return len(live.numbers()) < expected and not is_late


def seal_together(
    context: Context,
    live: LiveDirectory,
    *,
    unseen: str = "lost",
    keep: bool = False,
    redact: Callable[[bytes], bytes] | None = None,
) -> SealedRun:
    """Seals a run that all members have left; the caller holds the seal lock. Raises GitrunError without a draft."""
    first = live.of(0)
    draft = first.read_draft()
    if draft is None:
        raise GitrunError(f"run {live.run_id} has no draft", kept=live.path, next="gitrun recover")
    observe_together(context, first, draft, OF_THE_RUN)
    return seal_live(context, first, draft, unseen=unseen, keep=keep, redact=redact)


def settle_dead(context: Context, live: LiveDirectory, place: Here) -> None:
    """Does for members that are proved dead what they would have done; the caller holds the seal lock."""
    for n in live.numbers():
        one = live.of(n)
        if has_left(one.member) or judge_member(one.member, place).state != DEAD:
            continue
        draft = one.read_draft()
        if draft is not None and was_started(one):
            observe(context, one, draft, alone=False)
            others = [m for m in live.members() if m != one.member and not _is_gone(m, place)]
            _tell_outputs(context, one, draft, others)
        _mark_left(one)


def _is_gone(member: str, place: Here) -> bool:
    return has_left(member) or judge_member(member, place).state == DEAD


def _mark_left(live: LiveDirectory) -> None:
    write_file(os.path.join(live.member, LEFT), b"")


def _tell_outputs(context: Context, live: LiveDirectory, draft: dict[str, Any], others: list[str]) -> None:
    """Looks for the outputs in this member's tree, unless somebody else still works there."""
    tree = _tree(live.member)
    if tree in map(_tree, others):
        return
    began = [ns for m in live.members() if _tree(m) == tree and (ns := started_at_ns(m)) is not None]
    draft["live"]["began_ns"] = min(began, default=None)
    observe_together(context, live, draft, OUTPUTS)


def _tree(member: str) -> Any:
    """What tells the working tree of a member from that of another, on whichever host."""
    return (read_header(member) or {}).get("worktree")
