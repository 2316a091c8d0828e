"""Whether a run could be repeated, said before anybody tries, and without flattery.

Three levels. `no`: files that the source had are not in the record, so the code that ran cannot
be given back; or it was typed into a session, which no command types again. `partly`: the code
can, but something it may have depended on was not kept or was not looked at. `full`: nothing is
known to be missing. Each reason is one sentence, the gravest first; an empty list comes with
`full` alone.

A record says under `coverage`, topic by topic, what its captures missed. Only some topics bear on
a repetition: what the processor is called explains a difference, and no replay needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gitrun.model.listing import first_lines

COMPLETE = "complete"
LOADED = "loaded"  # of installed files: those that the run loaded were looked at, all of them
OBSERVED = "observed"
HARMLESS_REASONS = frozenset({"tracker", "output"})  # not source: what a tool or an earlier run wrote
# Topics of coverage by how much a gap in them costs; the first ones are what a repetition depends on.
NEEDED = ("source", "recorder", "loaded", "child", "environment", "lock", "inputs", "variables", "process")
TOPICS = (*NEEDED, "config", "seeds", "console", "hardware")
_SECRET = re.compile(r"<secret:([^<>\s]+)>")
# Labels of `coverage.child` that say what ran; all others say what was not seen.
_WHO_RAN = re.compile(r"processes by |ranks |implementations |[0-9]+ became another program")
_GONE = "gone"  # loaded, and removed before the run had ended: most likely its own product
_MOST = 3
_LONG = 300


def replayable(record: dict[str, Any]) -> dict[str, Any]:
    """`{level, because}` of a record, from what it says about its own gaps."""
    missing = [*_missing_source(record.get("source") or {}), *_missing_command(record.get("process") or {})]
    weak = [*_weak_source(record.get("source") or {}), *_weak_rest(record)]
    level = "no" if missing else "partly" if weak else "full"
    return {"level": level, "because": missing + weak}


def gaps(coverage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Topic and sentence for each thing that the captures missed, the gravest topics first."""
    ranks = {topic: rank for rank, topic in enumerate(TOPICS)}
    for topic in sorted(coverage, key=lambda topic: (ranks.get(topic, len(ranks)), topic)):
        for gap in _gaps_of(topic, coverage[topic]):
            yield topic, gap


def told(topic: str, gap: str) -> str:
    """A gap as a reason of its own, under the name of its topic unless it says that itself."""
    return gap if topic == "child" or gap.startswith(f"{topic}:") else f"{topic}: {gap}"


def _gaps_of(topic: str, said: Any) -> list[str]:
    """What one topic says is missing: a word, sentences, or what was seen of the run's processes."""
    if isinstance(said, dict):
        python, labels = str(said.get("python", OBSERVED)), said.get("labels")
        seen = [] if python == OBSERVED else [f"what the command loads was {python}"]
        return seen + [label for label in map(str, labels if isinstance(labels, list) else []) if not _is_fact(label)]
    sentences = [
        str(gap) for gap in (said if isinstance(said, list) else [said]) if gap and gap not in (COMPLETE, LOADED)
    ]
    return [f"its processes: {sentence}" if topic == "child" else sentence for sentence in sentences]


def who_ran(coverage: dict[str, Any]) -> list[str]:
    """The Python processes that were observed, in a few words; empty where none was."""
    child = coverage.get("child")
    if not isinstance(child, dict) or type(count := child.get("processes")) is not int or count < 1:
        return []
    labels = child.get("labels")
    facts = [label for label in map(str, labels if isinstance(labels, list) else []) if _is_fact(label)]
    return ["1 Python process" if count == 1 else f"{count:,} Python processes", *facts]


def _is_fact(label: str) -> bool:
    return _WHO_RAN.match(label) is not None


def _missing_source(source: dict[str, Any]) -> Iterator[str]:
    if not source.get("tree"):
        yield "the record holds no source tree"
        return
    guarded = [entry for entry in source.get("excluded") or [] if _matters(entry) and _left(entry) > 0]
    if guarded:
        yield f"{sum(map(_left, guarded))} file(s) of the source were left out ({_names(guarded)})"


def _missing_command(process: dict[str, Any]) -> Iterator[str]:
    if process.get("inside") == "session":
        yield "it was a session (a notebook, a prompt): its cells are kept, and no command types them again"


def _weak_source(source: dict[str, Any]) -> Iterator[str]:
    excluded = source.get("excluded") or []
    secrets = [entry for entry in excluded if _is_secret(entry)]
    if secrets:
        yield f"secret files were left out ({_names(secrets)})"
    gone = [entry for entry in excluded if _is_gone(entry)]
    if gone:
        yield f"{len(gone)} file(s) that the run loaded were gone at its end ({_names(gone)})"
    if changed := source.get("changed_during_run"):
        yield f"files changed while they were being read or before they were loaded ({_shown(map(str, changed))})"


def _weak_rest(record: dict[str, Any]) -> Iterator[str]:
    if needed := _secrets(record):
        yield f"a replay needs these secrets in its environment: {_shown(needed)}"
    if edited := _edited(record):
        yield f"{len(edited)} installed file(s) that the run loaded are not as they were installed ({_shown(edited)})"
    coverage = record.get("coverage") or {}
    for topic in NEEDED:
        if topic == "lock" and (unlocked := _unlocked(record.get("lock") or {})):
            yield unlocked
            continue
        sentences = [gap for _, gap in gaps({topic: coverage.get(topic)})]
        yield from (told(topic, gap) for gap in first_lines(sentences, _MOST))
    if record.get("status") == "running":
        yield "it has not ended: what it loads is not known yet"
    if record.get("status") in ("lost", "unknown"):
        yield "nobody saw how the run ended, so there is no exit status to compare with"


def _edited(record: dict[str, Any]) -> list[str]:
    installed = (record.get("process") or {}).get("installed")
    entries = installed.get("edited") if isinstance(installed, dict) else None
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [str(entry.get("path")) for entry in found if entry.get("loaded") is True]


def _unlocked(lock: dict[str, Any]) -> str | None:
    if lock.get("state", "none") != "none":
        return None
    reason = f" ({str(lock['reason'])[:_LONG]})" if lock.get("reason") else ""
    return f"the environment is described, not locked{reason}: a replay uses the one it finds"


def _secrets(record: dict[str, Any]) -> list[str]:
    """Names of the secrets that the command or its variables had, and the record has not."""
    command = record.get("command")
    variables = (record.get("process") or {}).get("variables")
    words = [*(command if isinstance(command, list) else [])]
    words += variables.values() if isinstance(variables, dict) else []
    return sorted({name for word in words if isinstance(word, str) for name in _SECRET.findall(word)})


def _is_secret(entry: dict[str, Any]) -> bool:
    return "secret" in str(entry.get("reason"))


def _is_gone(entry: dict[str, Any]) -> bool:
    return str(entry.get("reason")).split(" ", 1)[0] == _GONE


def _matters(entry: dict[str, Any]) -> bool:
    return entry.get("reason") not in HARMLESS_REASONS and not _is_secret(entry) and not _is_gone(entry)


def _left(entry: dict[str, Any]) -> int:
    """How many files of an entry are really missing: those that the run loaded are kept all the same."""
    loaded = entry.get("loaded")
    return int(entry.get("files", 1)) - (loaded if type(loaded) is int else 0)


def _names(entries: list[dict[str, Any]]) -> str:
    return _shown(f"{entry.get('path')}: {entry.get('reason')}" for entry in entries)


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_MOST]) + (", …" if len(listed) > _MOST else "")
