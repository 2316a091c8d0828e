"""`gitrun push`: send runs to a Git remote, after saying what that means where it means more than usual."""

from __future__ import annotations

import os
import sys
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.cli.common import open_archive, print_json
from gitrun.cli.problems import guarded
from gitrun.cli.sharing import refusals_json, split_remote, store_of, tell_refused
from gitrun.cli.sharing_options import PUSH_OPTIONS, Asked, parse, push_help
from gitrun.errors import GitrunError, LiveElsewhere
from gitrun.model.ids import short
from gitrun.model.listing import first_lines, plural
from gitrun.remote.blob_store import StoreOfRemote
from gitrun.remote.pushing import Done, Plan, carry_out, plan_push
from gitrun.ui.terminal import Screen, stderr
from gitrun.ui.words import size

_SHOWN = 10


def main(words: list[str]) -> int:
    """Runs `gitrun push WORDS`; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return guarded(lambda: push(words))


def push(words: list[str]) -> int:
    """As `main`, for a caller that has its own way to end; raises GitrunError."""
    asked = parse("push", PUSH_OPTIONS, words)
    if "help" in asked.options:
        print(push_help(), end="")
        return 0
    with open_archive() as archive:
        remote, texts = split_remote(archive, asked.words)
        ids = _sealed(archive, texts) if texts else None
        blobs = StoreOfRemote(archive, lambda: store_of(archive, remote))
        plan = plan_push(archive, remote, blobs, ids, archive.monitor, with_commits="with_commits" in asked.options)
        with plan.objects:
            quiet = not asked.options.isdisjoint(("quiet", "json"))
            if not quiet and not plan.is_empty:
                _preview(stderr(), plan)
            if "dry_run" in asked.options:
                done = Done([], plan.already, plan.refused, [], plan.weight, 0, [])
            else:
                _agree(plan, asked, words)
                done = carry_out(archive, plan, archive.monitor)
    if "json" in asked.options:
        print_json(_json(plan, done, "dry_run" in asked.options))
    _tell(stderr(), plan, done, asked)
    return 1 if done.refused else 0


def _sealed(archive: Archive, texts: list[str]) -> list[str]:
    runs = resolve_many(archive, texts)
    live = [run.id for run in runs if run.is_live]
    if live:
        raise LiveElsewhere(f"run {live[0]} is being recorded", kept="the run", next="the same, once it is sealed")
    return [run.id for run in runs]


def _preview(screen: Screen, plan: Plan) -> None:
    """What would be sent, before it is."""
    parts = [plural(len(plan.parcels), "run")]
    if plan.object_bytes is not None:
        parts.append(f"about {size(plan.object_bytes)}")
    if plan.weight.blobs:
        parts.append(f"{plural(plan.weight.blobs, 'blob')} of {size(plan.weight.bytes)}")
    if plan.said:
        parts.append("what was said of runs")
    screen.line(f"gitrun: to {harmless(plan.remote.name)}: {', '.join(parts)}")
    wrapped = [parcel for parcel in plan.parcels if parcel.is_wrapped]
    if wrapped:
        bases = sorted({parcel.base[:12] if parcel.base else "no commit" for parcel in wrapped})
        named = ", ".join(first_lines(bases, 3))
        screen.line(f"  {plural(len(wrapped), 'run')} on {named}: commits that it has not stay here")
    if plan.scan.unseen:
        screen.line(f"  {plural(plan.scan.unseen, 'file')} too big to be looked through for secrets")


def _agree(plan: Plan, asked: Asked, words: list[str]) -> None:
    """Has somebody say yes to what needs it; raises GitrunError otherwise, and nothing was sent."""
    if not plan.asks:
        return
    screen = stderr()
    for public in plan.public[:_SHOWN]:
        screen.line(f"  {public.commit[:12]} {harmless(public.subject, 100)}")
    if len(plan.public) > _SHOWN:
        screen.line(f"  … and {len(plan.public) - _SHOWN:,} more")
    for line in first_lines([_finding(found) for found in plan.scan.found], _SHOWN):
        screen.line(f"  {line}")
    for question in plan.asks:
        screen.line(f"gitrun: {harmless(question)}")
    if "yes" in asked.options:
        return
    if "json" not in asked.options and sys.stdin.isatty() and screen.is_terminal:
        screen.stream.write(f"gitrun: send it to {harmless(plan.remote.name)} all the same? [y/N] ")
        screen.stream.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise GitrunError("nothing was sent", kept="every run, here", next=f"gitrun push --yes {' '.join(words)}".rstrip())


def _finding(found: Any) -> str:
    whose = f"run {short(found.run_id)}: " if found.run_id else ""
    return f"{whose}{harmless(found.where)}: {', '.join(map(harmless, found.names))}"


def _json(plan: Plan, done: Done, is_dry: bool) -> dict[str, Any]:
    return {
        "remote": plan.remote.name,
        "dry_run": is_dry,
        "runs": sorted(parcel.run_id for parcel in plan.parcels) if is_dry else done.sent,
        "already": done.already,
        "refused": refusals_json(done.refused),
        "wrapped": {parcel.run_id: parcel.base for parcel in plan.parcels if parcel.is_wrapped},
        "public": [public.commit for public in plan.public],
        "secrets": [
            {"run": found.run_id or None, "where": found.where, "names": list(found.names)} for found in plan.scan.found
        ],
        "annotations": sorted(plan.said) if is_dry else done.annotations,
        "blobs_sent": done.blobs.blobs,
        "bytes_sent": (plan.object_bytes or 0) + done.blobs.bytes if is_dry else done.sent_bytes + done.blobs.bytes,
    }


def _tell(screen: Screen, plan: Plan, done: Done, asked: Asked) -> None:
    tell_refused(screen, done.refused, "sent")
    if not asked.options.isdisjoint(("quiet", "json", "dry_run")):
        return
    for line in done.said:
        screen.line(f"  {harmless(plan.remote.name)}: {harmless(line)}")
    if not done.sent and not done.annotations and not done.refused:
        screen.line(f"gitrun: {harmless(plan.remote.name)} has {plural(len(done.already), 'run')}, nothing new")
        return
    sent = f"{plural(len(done.sent), 'run')} sent to {harmless(plan.remote.name)}"
    total = done.sent_bytes + done.blobs.bytes
    there = f", {len(done.already):,} there already" if done.already else ""
    next_step = f"; next, elsewhere: gitrun fetch{_route(plan)}" if done.sent and os.isatty(2) else ""
    screen.line(f"gitrun: {sent}, {size(total)}{there}{next_step}")


def _route(plan: Plan) -> str:
    return "" if plan.remote.name == "origin" else f" {harmless(plan.remote.name)}"
