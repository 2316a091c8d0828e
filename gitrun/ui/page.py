"""One run as a page for people: what is there, in the order of the questions one asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitrun.archive.harmless import harmless
from gitrun.archive.replayable import gaps, told, who_ran
from gitrun.model.ids import short
from gitrun.model.listing import first_lines, listed, plural
from gitrun.ui.machine import exit_words, machine_lines
from gitrun.ui.metrics import metric_lines
from gitrun.ui.system import system_lines
from gitrun.ui.terminal import STATUS_STYLE, Screen
from gitrun.ui.words import duration, local_time, size

Lines = Iterator[tuple[str, str]]

_LABEL = 12
_PATHS = 10
_GAPS = 3
_LONG = 2000


def print_page(
    screen: Screen,
    run: dict[str, Any],
    command: str,
    places: dict[str, Any],
    children: list[str] | None = None,
    curves: dict[str, str] | None = None,
    system_curves: dict[str, str] | None = None,
    proof: str = "",
) -> None:
    """Print a run as `to_json` gives it.

    `places` is where its parts are (for sizes), `children` the runs inside it, `curves` sparklines by metric,
    `system_curves` by system series, `proof` what its replays say together.
    """
    status = screen.style(run["status"], STATUS_STYLE.get(run["status"]))
    screen.line(f"{screen.style('run ' + run['id'], 'bold')}  {status}{exit_words(run['exit'])}")
    sections = (
        ("", _identity(run, command)),
        ("source", _source(run["source"])),
        ("config", _values(run["config"]["values"])),
        ("environment", _environment(run["environment"], run["lock"])),
        ("hardware", machine_lines(run["hardware"], run["members"], run["process"])),
        ("metrics", metric_lines(run["metrics"], run["summary"], curves or {}, run["id"])),
        ("system", system_lines(run["system"], system_curves)),
        ("output", _output(run, places)),
        ("links", _links(run["links"], children or [])),
        ("replays", _replays(run, proof)),
        ("legs", _legs(run.get("legs") or [])),
        ("coverage", _coverage(run["replayable"], run["coverage"])),
    )
    for title, lines in sections:
        _section(screen, title, list(lines))


def _section(screen: Screen, title: str, lines: list[tuple[str, str]]) -> None:
    if not lines:
        return
    if title:
        screen.line(screen.style(title, "bold"))
    for label, text in lines:
        screen.line(f"  {screen.style(harmless(label).ljust(_LABEL), 'dim')} {harmless(text, _LONG)}".rstrip())


def _identity(run: dict[str, Any], command: str) -> Lines:
    yield "command", command
    for key in ("name", "group", "cwd"):
        if run[key] and (key, run[key]) != ("cwd", "."):
            yield key, str(run[key])
    took = f", took {duration(run['duration_s'])}" if run["duration_s"] is not None else ""
    yield "started", local_time(run["started_at"]) + took
    yield from _used(run["process"])
    if run["liveness"]:
        age = run["liveness"]["heartbeat_age_s"]
        yield "alive on", f"{run['liveness']['host']}" + ("" if age is None else f", heard of {duration(age)} ago")
    if run["tags"]:
        yield "tags", ", ".join(map(str, run["tags"]))
    for note in run["notes"]:
        yield "note", str(note.get("body") if isinstance(note, dict) else note)


def _used(process: dict[str, Any]) -> Lines:
    """What the command took of the machine, and how it failed to start or to end."""
    seconds = [process.get(key) for key in ("user_s", "system_s")]
    if all(type(value) in (int, float) for value in seconds):
        memory = process.get("max_rss_bytes")
        peak = f", {size(memory)} at most" if type(memory) is int and memory >= 0 else ""
        yield "used", f"{duration(sum(float(value) for value in seconds if value is not None))} of CPU{peak}"
    if type(killed := process.get("oom_kills")) is int and killed > 0:
        yield "killed", f"the kernel killed {killed:,} of all processes for want of memory meanwhile"
    yield from _values({"not started": (_object(process.get("start_error"))).get("message")})
    left = process.get("left_behind")
    for each in left if type(left) is list else []:
        yield "left behind", f"{_object(each).get('name')} (process {_object(each).get('pid')})"


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _source(source: dict[str, Any]) -> Lines:
    branch = f" on {source['branch'].removeprefix('refs/heads/')}" if source["branch"] else ""
    yield "base", (source["base"] or "no commit yet") + branch
    yield "tree", source["tree"] or "not recorded"
    for key in ("modified", "deleted", "untracked", "conflicts", "changed_during_run"):
        yield from _paths(key.replace("_during_run", ""), source[key])
    excluded = [f"{entry['path']} ({entry['reason']}, {_size_of(entry)})" for entry in source["excluded"]]
    yield from _paths("left out", excluded)
    yield from _paths("beside it", [f"{entry['path']} ({entry['reason']})" for entry in source["extra"]])
    yield from _paths("roots", [str(root.get("path")) for root in source["roots"]])


def _size_of(entry: dict[str, Any]) -> str:
    return size(entry["bytes"]) if type(entry.get("bytes")) is int else "size unknown"


def _paths(label: str, paths: list[Any]) -> Lines:
    texts = [str(path["path"] if isinstance(path, dict) else path) for path in paths]
    for text in first_lines(texts, _PATHS):
        yield label, text
        label = ""


def _values(values: Any, prefix: str = "") -> Lines:
    """Nested values as dotted keys."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _values(value, f"{prefix}.{key}" if prefix else str(key))
    elif values not in (None, [], ""):
        yield prefix, ", ".join(map(str, values)) if isinstance(values, list) else str(values)


def _environment(environment: dict[str, Any], lock: dict[str, Any]) -> Lines:
    yield from _values(environment["python"], "python")
    if environment["distributions"]:
        yield "packages", plural(len(environment["distributions"]), "distribution")
    if environment["digest"]:
        yield "digest", environment["digest"]
    yield "lock", lock["state"] + (f": {lock['reason']}" if lock.get("reason") else "")


def _links(links: dict[str, Any], children: list[str]) -> Lines:
    yield from ((name.replace("_", " "), str(link)) for name, link in links.items() if link)
    yield from _paths("children", children)


def _replays(run: dict[str, Any], proof: str) -> Lines:
    """What is claimed of it, and what its replays say."""
    yield from _paths("claims", run["claims"])
    if proof:
        yield "", proof
    for replay in run.get("replays") or []:
        where = f" on {replay['host']}" if replay["host"] else ""
        said = replay["verdict"] or f"no verdict ({replay['status']})"
        prefix = replay["prefix"] or {}
        of = f" of the first {prefix.get('points_compared')} of {prefix.get('of')} points" if prefix else ""
        held = [claim.get("held") for claim in replay["claims"]]
        claims = f", {held.count(True)} of {plural(len(held), 'claim')} held" if held else ""
        yield short(replay["id"]), f"{local_time(replay['started_at'])}{where}: {said}{of}{claims}"


def _legs(legs: list[dict[str, Any]]) -> Lines:
    """The runs that led to this one and itself, and where the source changed on the way."""
    for leg in legs:
        took = "" if leg["duration_s"] is None else f" in {duration(leg['duration_s'])}"
        drift = f"; its source differs: {listed(leg['drift'])}" if leg["drift"] else ""
        yield short(leg["id"]), f"{local_time(leg['started_at'])} {leg['status']}{took}{drift}"


def _output(run: dict[str, Any], places: dict[str, Any]) -> Lines:
    for name, place in places.items():
        if name.startswith("console") and type(place.get("bytes")) is int:
            yield "console", f"{size(place['bytes'])} compressed; gitrun logs {short(run['id'])}"
    for entry in run["artifacts"][:_PATHS]:
        yield str(entry["kind"]), f"{entry['path']} ({_size_of(entry)})"
    if len(run["artifacts"]) > _PATHS:
        yield "", f"… and {len(run['artifacts']) - _PATHS:,} more"


def _coverage(replayable: dict[str, Any], coverage: dict[str, Any]) -> Lines:
    """Whether the run could be repeated and because of what, then what the captures missed beside that."""
    yield "replayable", replayable["level"] + ("" if replayable["because"] else ": nothing is known to be missing")
    for reason in replayable["because"]:
        yield "", reason
    if watched := who_ran(coverage):
        yield "observed", ", ".join(watched)
    reasons = set(replayable["because"])
    missed: dict[str, list[str]] = {}
    for topic, gap in gaps(coverage):
        if told(topic, gap) not in reasons:
            missed.setdefault(topic, []).append(gap.removeprefix(f"{topic}: "))
    for topic, sentences in missed.items():
        for sentence in first_lines(sentences, _GAPS):
            yield topic, sentence
            topic = ""
