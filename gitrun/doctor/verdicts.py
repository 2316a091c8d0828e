"""What the trial recording proves, capability by capability. Pure: a finished trial in, checks out.

A capture that works and found less than all is a warning, in the record's own words; one that found nothing of what
the trial's program did for it has failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitrun.archive.replayable import OBSERVED, gaps, told
from gitrun.doctor.check import FAIL, OK, WARN, Check
from gitrun.doctor.probe import MODULE, RATE, SEED, STEPS, find_around
from gitrun.doctor.trial import Trial
from gitrun.model.listing import first_lines, listed, plural
from gitrun.model.record import change_count
from gitrun.ui.words import duration, size

_SHOWN = 3
_NO_PYTHON = "there is no Python on PATH; other programs are recorded all the same"
_HANDLED = frozenset({"source", "child", "config", "environment", "hardware", "lock", "console", "loaded", "seeds"})


def judge(trial: Trial) -> Iterator[Check]:
    """Every check that follows from a trial."""
    record = trial.record
    if record is None:
        yield Check("recording", FAIL, f"nothing was sealed: {_last_words(trial.recorded.err)}")
        return
    for verdict in (
        _recording, _source, _console, _python, _unchanged, _loaded, _config, _seeds, _environment, _lock, _hardware,
        _secrets, _rest,
    ):  # fmt: skip
        yield from verdict(trial, record)


def _recording(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    code = (record.get("exit") or {}).get("code")
    if trial.recorded.code != trial.alone.code or code != trial.alone.code:
        says = f"the program ended with {trial.alone.code} alone, with {trial.recorded.code} below gitrun"
        yield Check("recording", FAIL, f"{says}, and its record says {code}")
        return
    took = f"a program of {duration(trial.alone.took_s)} took {duration(trial.recorded.took_s)}"
    yield Check("recording", OK, f"{took}, start and seal included")


def _source(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    source = record.get("source") or {}
    changes = change_count(source)
    roots = len(source.get("roots") or [])
    says = f"{plural(changes, 'uncommitted change')}" + (f", {plural(roots, 'root')}" if roots else "")
    yield Check("source", OK, f"kept: {says}")
    excluded = source.get("excluded") or []
    if excluded:
        named = listed([f"{entry['path']} ({entry['reason']})" for entry in excluded], _SHOWN)
        total = size(sum(entry.get("bytes") or 0 for entry in excluded))
        yield Check("source", WARN, f"left out, {total}: {named}", next="gitrun show says all of them")
    yield from _gaps("source", record)


def _console(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if b"the token is" in trial.console and b"the token is" in trial.recorded.out:
        yield Check("console", OK, "passed on and kept")
    else:
        yield Check("console", FAIL, "what the program printed is not in its record")
    yield from _gaps("console", record)


def _python(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if trial.python is None:
        yield Check("python", WARN, _NO_PYTHON)
        return
    child = (record.get("coverage") or {}).get("child")
    said = child.get("python") if isinstance(child, dict) else ", ".join(child) if isinstance(child, list) else child
    version = (find_around(trial.alone.out) or {}).get("version", "")
    if _is_observed(record):
        yield Check("python", OK, f"{trial.python} {version}: reports what it loads".replace(" :", ":"))
    else:
        says = f"{trial.python} {version} does not report what it loads: {said or 'no word of it in the record'}"
        yield Check("python", FAIL, says, next="does a wrapper add -I, -E or -S, or take PYTHONPATH away?")
    for topic, gap in gaps({"child": {**child, "python": OBSERVED}} if isinstance(child, dict) else {}):
        yield Check("python", WARN, told(topic, gap))


def _is_observed(record: dict[str, Any]) -> bool:
    child = (record.get("coverage") or {}).get("child")
    return isinstance(child, dict) and child.get("python") == OBSERVED


def _unchanged(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    """The program sees what it sees without gitrun."""
    if trial.python is None:
        return
    alone, below = find_around(trial.alone.out), find_around(trial.recorded.out)
    if alone is None:
        says = f"the trial's program fails without gitrun as well: {_last_words(trial.alone.err)}"
        yield Check("unchanged", FAIL, says, next=f"{trial.python} -c pass")
        return
    differing = sorted(name for name in alone if below is None or alone[name] != below.get(name))
    if len(trial.alone.err.splitlines()) != len(trial.errors.splitlines()):
        differing.append(f"stderr ({_last_words(trial.errors)})")  # lines may hold addresses and times
    if differing:
        yield Check("unchanged", FAIL, f"the program sees something else below gitrun: {', '.join(differing)}")
        return
    own = alone.get("sitecustomize")
    yield Check("unchanged", OK, "the program sees what it sees alone" + (f", with your {own}" if own else ""))


def _loaded(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if not _is_observed(record):
        return
    lines = [line for line in trial.value("extra.jsonl") or [] if line.get("reason") == "loaded"]
    if any(str(line.get("path")).endswith(f"{MODULE}.py") for line in lines):
        yield Check("loaded", OK, "a module from outside the repository was kept")
    else:
        yield Check("loaded", FAIL, "a module from outside the repository was imported and is not in the record")
    yield from _gaps("loaded", record)


def _config(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if trial.python is None:
        return
    found = (trial.value("config.json") or {}).get("values") or {}
    steps, rate = found.get("steps"), found.get("rate")
    if steps == STEPS and rate == RATE:
        yield Check("config", OK, "options and their defaults are known from the program itself (argparse)")
    elif steps is not None:
        yield Check("config", WARN, "options are known as they were typed, without types and defaults")
    else:
        yield Check("config", FAIL, "the program's options are not in the record")
    yield from _gaps("config", record)


def _seeds(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if not _is_observed(record):
        return
    if str(SEED) in str(record.get("seeds") or {}):  # wherever the report has it
        yield Check("seeds", OK, "a seed that the program set was seen")
    else:
        yield Check("seeds", WARN, "a seed that the program set was not seen")
    yield from _gaps("seeds", record)


def _environment(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    found = trial.value("environment.json")
    if not isinstance(found, dict):
        yield Check("environment", FAIL, "it is not in the record")
    elif trial.python is not None:
        version = (found.get("python") or {}).get("version") if isinstance(found.get("python"), dict) else None
        count = plural(len(found.get("distributions") or []), "distribution")
        yield Check("environment", OK if version else WARN, f"Python {version or 'unknown'}, {count}")
    yield from _gaps("environment", record)


def _lock(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    if trial.python is None:
        return
    lock = record.get("lock") or {}
    state, reason = lock.get("state", "none"), lock.get("reason")
    later = "the index had little time for this short trial; gitrun lock RUN asks it again after a run"
    if state == "none":
        says = f"the environment is described, not locked: {reason or 'no lockfile was made'}"
        yield Check("lock", WARN, says, next=later)
        return
    source = f" ({lock['source']})" if lock.get("source") else ""
    missing = len(lock.get("missing") or [])
    says = f"{state}{source}" + (f": {reason}" if reason else "")
    yield Check("lock", WARN, says, next=later) if missing else Check("lock", OK, says)


def _hardware(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    found = trial.value("hardware.json")
    if not isinstance(found, dict):
        yield Check("hardware", FAIL, "it is not in the record")
        return
    relevant = found.get("relevant") or {}
    devices = [str(device.get("name")) for device in relevant.get("gpus") or [] if isinstance(device, dict)]
    cpu = (relevant.get("cpu") or {}).get("model") or relevant.get("machine")
    container = (relevant.get("container") or {}).get("kind")
    words = [str(cpu), *devices, *([f"in {container}"] if container else [])]
    yield Check("hardware", OK, ", ".join(words))
    yield from _gaps("hardware", record)


def _secrets(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    """A random secret was in a variable, among the arguments, and was printed."""
    secret = trial.probe.secret
    places = [name for name, data in trial.parts.items() if secret.encode() in data]
    places += ["run.json"] * (secret in repr(record)) + ["the console"] * (secret.encode() in trial.console)
    if places:
        yield Check("secrets", FAIL, f"a secret was recorded in {', '.join(sorted(places))}", next="report this bug")
    elif b"<secret:" in trial.console:
        yield Check("secrets", OK, "a secret in a variable, an argument and the output was replaced each time")
    else:
        yield Check("secrets", WARN, "a secret in the output is missing, and nothing stands in its place")


def _rest(trial: Trial, record: dict[str, Any]) -> Iterator[Check]:
    """Topics that this version of the examination does not know."""
    for topic, gap in gaps(record.get("coverage") or {}):
        if topic not in _HANDLED:
            yield Check(topic, WARN, gap)


def _gaps(topic: str, record: dict[str, Any]) -> Iterator[Check]:
    found = [gap for _, gap in gaps({topic: (record.get("coverage") or {}).get(topic)})]
    for gap in first_lines(found, _SHOWN):
        yield Check(topic, WARN, gap.removeprefix(f"{topic}: "))


def _last_words(err: bytes) -> str:
    lines = err.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
