"""All cases, and the document that lists them."""

from __future__ import annotations

from pathlib import Path

from scripts.spoil_lib import alone, containers, files, points, records, trainings, trees
from scripts.spoil_lib.case import BIT, Case

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "spoiled-cases.md"
BY_HAND = [*files.CASES, *containers.CASES, *trees.CASES, *points.CASES, *records.CASES]
STEERED = [case for case in BY_HAND if case.has_process]
CASES = [*BY_HAND, *(each.case for each in alone.CASES), *trainings.CASES]

_HEAD = """# Spoiled cases

What `gitrun replay` says where something was spoiled on purpose, in {count} cases. `scripts/spoil` makes this page, and
judges each case: those of *causes*, *knowledge* and *claims* by records that differ in one thing, all others by a
run and a real replay. The exit status is that with `--accept bit`, where nothing else is said. Files, metrics, modes
and names are spoiled one at a time, among hundreds that are not.

No case is called `bit` but these: nothing was spoiled; what was spoiled only informs (logs, console) or is ignored,
and is named; the replay has what was recorded instead (settings, kept files); the same bytes come from elsewhere.

What no verdict can see: a file outside the working tree that was written by a program other than Python, and not
handed over with `gitrun.log_artifact`; a file of the source that a run removed; what went over the network. "First
cause" is how the first line of `causes` begins, or what is in it.
"""


def document() -> str:
    """The page as it has to be."""
    parts = [_HEAD.format(count=len(CASES))]
    for group in {case.group: None for case in CASES}:
        parts.append(f"## {group[0].upper()}{group[1:]}\n")
        parts.append("| spoiled | verdict | exit | first cause |\n| --- | --- | --- | --- |")
        parts.append("\n".join(_row(case) for case in CASES if case.group == group) + "\n")
    return "\n".join(parts)


def _row(case: Case) -> str:
    cause = case.cause.rstrip(": ").replace("|", "\\|")
    return f"| {case.name.replace('|', chr(92) + '|')} | `{case.verdict}` | {case.exit} | {cause} |"


def unexpected() -> list[str]:
    """Cases that are called `bit` without one of the words by which their name says why."""
    words = ("nothing is spoiled", "informs", "ignored", "the same", "the replay has")
    return [case.name for case in CASES if case.verdict == BIT and not any(word in case.name for word in words)]
