"""A verdict as a person reads it: the word with its extent, what differs, and why, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitrun.archive.harmless import harmless
from gitrun.archive.verdicts import WEAKEST_FIRST
from gitrun.model.ids import short
from gitrun.ui.metrics import number
from gitrun.ui.terminal import Screen

STYLE = {"bit": "green", "semantic": "green", "tolerance": "green", "differs": "red", "unverifiable": "yellow"}
_SHOWN = 10
_MEANING = {
    "bit": "the same bits",
    "semantic": "the same values in other bytes",
    "tolerance": "the same within tolerance",
    "differs": "not the same",
    "unverifiable": "nobody can tell",
}


def print_verdict(screen: Screen, verdict: Mapping[str, Any], extent: str) -> None:
    """Print a verdict as `gitrun replay --json` has it; `extent` is what it rests on."""
    word, replay = verdict["verdict"], verdict["replay"]
    of = f"run {short(verdict['run'])}" + (f", replay {short(replay)}" if replay else ", not started")
    told = f" ({extent})" if replay else ""
    screen.line(f"{screen.style(word, STYLE.get(word))}{told}: {_MEANING.get(word, word)}; {of}")
    _print_prefix(screen, verdict["prefix"])
    if verdict["exit_match"] is False:
        screen.line("  exit status: different")
    _print_parts(screen, verdict)
    _print_consoles(screen, verdict)
    _lines(screen, "claim", [_claim(claim) for claim in verdict["claims"]], len(verdict["claims"]))
    left = verdict["compared"]["not_compared"]
    if replay:
        _lines(screen, "not compared", left, verdict["compared"].get("not_compared_count", len(left)))
    _print_causes(screen, verdict)


def _print_prefix(screen: Screen, prefix: Mapping[str, Any]) -> None:
    if prefix.get("level") is not None:
        compared, of = prefix["points_compared"], prefix["of"]
        screen.line(f"  beginning: {compared:,} of {of:,} points compared, {prefix['level']}")


def _print_parts(screen: Screen, verdict: Mapping[str, Any]) -> None:
    """The files and metrics that are not the same, the weakest first."""
    told: list[tuple[int, str]] = []
    for each in verdict["outputs"]:
        if each["level"] != "bit" and each.get("decides", True):
            told.append((WEAKEST_FIRST.index(each["level"]), _output(each)))
    for each in verdict["metrics"]:
        if each["level"] != "bit":
            told.append((WEAKEST_FIRST.index(each["level"]), _metric(each)))
    told.sort(key=lambda pair: pair[0])
    for _, line in told[:_SHOWN]:
        screen.line(f"  {harmless(line)}")
    if len(told) > _SHOWN:
        screen.line(f"  … and {len(told) - _SHOWN:,} more; next: gitrun replay {short(verdict['run'])} --json")


def _output(each: Mapping[str, Any]) -> str:
    name = f"{each['renamed_from']} -> {each['path']}" if each["renamed_from"] else each["path"]
    return f"{each['level']}: {name}" + (f": {each['detail']}" if each["detail"] else "")


def _metric(each: Mapping[str, Any]) -> str:
    step = each["first_divergent_step"]
    first = f" from step {step} on" if step is not None else ""
    return f"{each['level']}: metric {each['name']}{first}" + (f": {each['detail']}" if each["detail"] else "")


def _claim(claim: Mapping[str, Any]) -> str:
    held = {True: "held", False: "not held"}.get(claim["held"], "cannot be told")
    was, now = (number(claim[side]) or "none" for side in ("recorded", "replayed"))
    return f"{claim['expr']}: {held} ({was}, now {now})"


def _print_consoles(screen: Screen, verdict: Mapping[str, Any]) -> None:
    for stream, same in verdict["console"].items():
        if same is False:
            first = verdict.get("console_first", {}).get(stream)
            screen.line(harmless(f"  {stream}: different" + (f", {first}" if first else "")))


def _print_causes(screen: Screen, verdict: Mapping[str, Any]) -> None:
    notes = set(verdict.get("notes") or ())
    causes: Sequence[str] = [
        cause for cause in verdict["causes"] if cause not in notes and not cause.startswith("not compared: ")
    ]
    if causes:
        is_one = len(causes) == 1 or verdict["verdict"] == "unverifiable"
        screen.line("  why:" if is_one else "  why, the likeliest first:")
    for place, cause in enumerate(causes[:_SHOWN], 1):
        screen.line(f"  {place:>4}. {harmless(cause)}")
    if len(causes) > _SHOWN:
        screen.line(f"        … and {len(causes) - _SHOWN:,} more")
    for note in verdict.get("notes") or ():
        screen.line(f"  note: {harmless(note)}")
    if verdict["replay"] and any(verdict[topic] for topic in ("environment", "hardware")):
        screen.line(f"  next: gitrun diff {short(verdict['run'])} {short(verdict['replay'])}")


def _lines(screen: Screen, label: str, items: Iterable[str], count: int) -> None:
    items = list(items)
    for item in items[:_SHOWN]:
        screen.line(f"  {label}: {harmless(item)}")
    if count > _SHOWN:
        screen.line(f"  … and {count - _SHOWN:,} more of these")
