"""`record --probe`: a run that is replayed as soon as it has ended, to learn what of it is not deterministic.

Whoever builds on a run for a month wants to know on its first day whether it comes out the same way twice. The replay
is a process of its own, for the recorder's has given up its descriptors and has threads; it ends as any replay does,
with a run and a verdict that stay in the archive. Nothing of it is shown but what it found.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from gitrun.archive.harmless import harmless
from gitrun.model.ids import short
from gitrun.model.listing import first_lines, plural
from gitrun.own_python import own_command, own_variables

_MOST_LINES = 8
_MOST_CAUSES = 3
_VERDICTS = (0, 3, 4)  # exit codes with which a verdict comes
_WORDS = {
    "differs": "the second run differs",
    "tolerance": "the second run is only close",
    "semantic": "the same values, in files with other bytes",
}


def probe(run_id: str, environ: Mapping[str, str]) -> list[str]:
    """Replay a sealed run of the archive around us, in the environment it has just run in; what to tell, in lines."""
    words = own_command("replay", run_id, "--env", "current", "--json")
    variables = own_variables({**environ, "GITRUN_QUIET": "1"})
    done = subprocess.run(words, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        verdict = json.loads(done.stdout) if done.returncode in _VERDICTS else None
    except ValueError:
        verdict = None
    if not isinstance(verdict, dict):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = f": {harmless(said[0], 300).removeprefix('gitrun: ')}" if said else ""
        return [f"probe: no verdict{why}", f"  next: gitrun replay {short(run_id)}"]
    return describe(verdict)


def describe(verdict: Mapping[str, Any]) -> list[str]:
    """A verdict as the answer to one question: is the program deterministic, and if not, what of it."""
    word, replay = verdict["verdict"], verdict.get("replay")
    compared = verdict.get("compared") or {}
    extent = ", ".join(plural(compared.get(f"{noun}s") or 0, noun) for noun in ("output", "metric"))
    next = (
        f"gitrun diff {short(verdict['run'])} {short(replay)}" if replay else f"gitrun replay {short(verdict['run'])}"
    )
    if word == "bit":
        return [f"probe: deterministic, bit for bit ({extent})"]
    if word == "unverifiable":
        lines = [f"probe: it cannot be told whether this is deterministic ({extent} compared)"]
    else:
        lines = [f"probe: NOT deterministic: {_WORDS.get(word, word)}"]
        if verdict.get("exit_match") is False:
            lines.append("  the exit status differs")
        found = [*_differing(verdict, "metrics", "name"), *_differing(verdict, "outputs", "path")]
        lines += [f"  {line}" for line in first_lines(found, _MOST_LINES)]
    before = "" if word == "unverifiable" else "perhaps because: "
    lines += [f"  {before}{harmless(str(cause), 300)}" for cause in (verdict.get("causes") or [])[:_MOST_CAUSES]]
    return [*lines, f"  next: {next}"]


def _differing(verdict: Mapping[str, Any], topic: str, key: str) -> list[str]:
    """What of a topic is not the same bit for bit, each in a line."""
    lines = []
    for one in verdict.get(topic) or []:
        if one.get("level") == "bit":
            continue
        step = one.get("first_divergent_step")
        first = "" if step is None else f" from step {step} on"
        detail = f" ({harmless(str(one['detail']), 200)})" if one.get("detail") else ""
        lines.append(f"{topic[:-1]} {harmless(str(one.get(key)), 200)}: {one.get('level')}{first}{detail}")
    return lines
