"""One thing that was looked at or tried, and what came of it.

A look must not end the examination: what raises is a finding as well, a bug included, and the next
topic has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gitrun.errors import GitrunError

OK, WARN, FAIL = "ok", "warn", "fail"


class Check(NamedTuple):
    """`state`: ok; warn where something is missing and the rest works; fail where it does not work.

    `says` is one sentence, `next` what to type or do about it.
    """

    topic: str
    state: str
    says: str
    next: str = ""


Look = Callable[[], Iterable[Check]]


def examine(looks: Iterable[tuple[str, Look]]) -> list[Check]:
    """What each of the looks found, in order; one that raises has failed."""
    checks: list[Check] = []
    for topic, look in looks:
        try:
            checks.extend(look())
        except GitrunError as problem:
            checks.append(Check(topic, FAIL, str(problem), next=problem.next))
        except OSError as problem:
            checks.append(Check(topic, FAIL, f"the system refuses: {problem}"))
        except Exception as bug:  # an examination of ten topics must not end at the first that is broken
            checks.append(Check(topic, FAIL, f"a bug in gitrun: {type(bug).__name__}: {bug}"))
    return checks


def is_well(checks: Iterable[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.state != FAIL for check in checks)


def to_json(checks: list[Check]) -> dict[str, Any]:
    """`{ok, checks [{topic, state, says, next}]}`."""
    return {"ok": is_well(checks), "checks": [check._asdict() for check in checks]}
