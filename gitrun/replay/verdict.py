"""What a replay says about the run it repeats, without claiming more than was looked at.

Outputs and metrics are not recorded yet, so nothing here can prove that two runs agree. What can
be said is: another exit status means they differ; the same one means that this much agrees and
that the rest was not compared. The console is reported as it is, byte for byte and stream by
stream, but decides nothing: one timestamp in it would make every replay differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitrun.model.canonical import encode

FORMAT = 1
DIFFERS = "differs"
UNVERIFIABLE = "unverifiable"
EXIT_CODES = {DIFFERS: 3, UNVERIFIABLE: 4}
NOT_COMPARED = "outputs and metrics not compared"
STREAMS = {1: "stdout", 2: "stderr"}


class Ending(NamedTuple):
    """How a run ended: its exit code or signal (both None where nobody saw it), and its status."""

    code: int | None
    signal: int | None
    status: str

    @property
    def was_seen(self) -> bool:
        """Whether there is an exit status to compare with."""
        return self.code is not None or self.signal is not None


def ending_of(record: Mapping[str, Any]) -> Ending:
    """The ending in a run's record."""
    exit = record.get("exit") or {}
    return Ending(exit.get("code"), exit.get("signal"), str(record.get("status")))


def judge(
    run: str,
    replay: str | None,
    recorded: Ending,
    replayed: Ending | None,
    console: Mapping[str, bool | None],
    differences: Mapping[str, Mapping[str, Any]],
    causes: Iterable[str],
) -> dict[str, Any]:
    """The verdict as `gitrun replay --json` prints it and `verdict.json` keeps it.

    `replayed` is None when the program was not started. `console` maps stdout and stderr to whether
    their bytes agree, None where one was not kept whole. `differences` holds `environment` and `hardware`.
    """
    causes = list(causes)
    match = None
    if replayed is not None and replayed.status == "interrupted":
        causes.append("the replay was interrupted")
    elif replayed is not None and recorded.was_seen and replayed.was_seen:
        match = (recorded.code, recorded.signal) == (replayed.code, replayed.signal)
        if not match:
            causes.insert(0, f"the run ended with {_words(recorded)}, the replay with {_words(replayed)}")
    elif replayed is not None and not recorded.was_seen:
        causes.append("nobody saw how the run ended, so there is no exit status to compare with")
    return {
        "format": FORMAT,
        "run": run,
        "replay": replay,
        "verdict": DIFFERS if match is False else UNVERIFIABLE,
        "accepted": False,
        "exit_match": match,
        "console": dict(console),
        "claims": [],
        "prefix": {"points_compared": 0, "of": 0, "level": None},
        "outputs": [],
        "metrics": [],
        "compared": {"outputs": 0, "metrics": 0, "not_compared": [NOT_COMPARED]},
        "environment": dict(differences.get("environment") or {}),
        "hardware": dict(differences.get("hardware") or {}),
        "causes": causes,
    }


def not_judged(run: str, recorded: Ending, causes: Iterable[str]) -> dict[str, Any]:
    """The verdict where no program was started: `causes` say why."""
    return judge(run, None, recorded, None, compare_consoles(None, None), {}, causes)


def encode_verdict(verdict: Mapping[str, Any]) -> bytes:
    """The bytes of `verdict.json`."""
    return encode(dict(verdict))


class Console(NamedTuple):
    """What a command wrote: the sha256 of each stream's bytes; `is_whole` is false where capture left some out."""

    digests: Mapping[int, str]
    is_whole: bool


def console_of(pieces: Iterable[tuple[int, int, bytes]]) -> Console:
    """The console out of (stream, time_ns, bytes) pieces; a piece of stream 0 stands for bytes that were not kept."""
    streams = {stream: hashlib.sha256() for stream in STREAMS}
    whole = True
    for stream, _, data in pieces:
        if stream in streams:
            streams[stream].update(data)
        else:
            whole = False
    return Console({stream: digest.hexdigest() for stream, digest in streams.items()}, whole)


def compare_consoles(recorded: Console | None, replayed: Console | None) -> dict[str, bool | None]:
    """Whether each stream has the same bytes; None where a console is missing or not whole."""
    if recorded is None or replayed is None or not (recorded.is_whole and replayed.is_whole):
        return dict.fromkeys(STREAMS.values())
    return {name: recorded.digests[stream] == replayed.digests[stream] for stream, name in STREAMS.items()}


def _words(ending: Ending) -> str:
    return f"exit {ending.code}" if ending.signal is None else f"signal {ending.signal}"
