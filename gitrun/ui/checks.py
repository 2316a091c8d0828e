"""An examination as lines: what was looked at, whether it is well, what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gitrun.archive.harmless import harmless
from gitrun.model.listing import plural
from gitrun.ui.terminal import Screen

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
_LABEL = 12


class Checked(Protocol):
    """What a line needs of a check."""

    @property
    def topic(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def next(self) -> str: ...


def print_checks(screen: Screen, checks: Sequence[Checked]) -> None:
    """Print one line for each check, advice below it, and the sum at the end."""
    before = None
    for check in checks:
        state = screen.style(check.state.ljust(4), _STYLES.get(check.state))
        label = harmless(check.topic).ljust(_LABEL) if check.topic != before else " " * _LABEL
        before = check.topic
        screen.line(f"{state}  {screen.style(label, 'dim')} {harmless(check.says, 1000)}")
        if check.next:
            screen.line(f"{'':{_LABEL + 6}} next: {harmless(check.next)}")
    failed = sum(check.state == "fail" for check in checks)
    warned = sum(check.state == "warn" for check in checks)
    if failed:
        screen.line(screen.style(f"{plural(failed, 'thing')} not working", "red"))
    else:
        screen.line("all works" + (f", {plural(warned, 'warning')}" if warned else ""))
