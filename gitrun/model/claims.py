"""Claims: what an author holds reproducible of a run's metrics, in one line each.

    max:val_acc within 0.5%      the greatest value, as the run had it, give or take a two-hundredth of it
    loss within 0.01             the last value, give or take 0.01
    min:loss <= 0.3              a bound that the replay itself has to keep

Bit for bit is too much to ask of another GPU, and a tolerance for every point says nothing about what a paper states.
So the author says it, before the run or after, and a replay is judged by that. The words are read here, by hand: a
claim comes out of a record, which anybody may have written, and nothing of it is executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitrun.errors import UsageError

PARTS = ("last", "min", "max", "first")
MOST = 1000  # claims of one run
_MAX_LENGTH = 500
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_CLAIM = re.compile(
    r"(?:(?P<part>last|min|max|first):)?"
    r"(?:'(?P<quoted>(?:[^'\\]|\\.)+)'|(?P<name>(?!')\S+?))"
    rf"(?:\s+within\s+(?P<margin>{_NUMBER})\s*(?P<percent>%?)|\s*(?P<sign><=|>=|<|>)\s*(?P<bound>{_NUMBER}))",
)


class Claim(NamedTuple):
    """One claim: `sign` is "within" or a comparison, `number` the margin (a share where `is_share`) or the bound."""

    expr: str
    part: str
    metric: str
    sign: str
    number: float
    is_share: bool = False

    def holds(self, recorded: float | None, replayed: float | None) -> bool | None:
        """Whether a replay's value keeps it; None: there is nothing to hold it against.

        A value that is not a number is within nothing and keeps no bound; an infinite one is within any margin of
        itself.
        """
        if self.sign == "within" and (recorded is None or math.isnan(recorded)):
            return None
        if replayed is None or math.isnan(replayed):
            return False
        if self.sign == "within":
            assert recorded is not None
            if recorded == replayed:
                return True
            margin = abs(recorded) * self.number if self.is_share else self.number
            return math.isfinite(recorded) and abs(replayed - recorded) <= margin
        return {
            "<": replayed < self.number,
            "<=": replayed <= self.number,
            ">": replayed > self.number,
            ">=": replayed >= self.number,
        }[self.sign]


def parse_claim(text: str) -> Claim:
    """The claim that `text` makes; raises UsageError that shows what one looks like."""
    match = _CLAIM.fullmatch(text.strip()) if len(text) <= _MAX_LENGTH and text.isprintable() else None
    if match is None:
        raise _complaint(text)
    metric = match["name"] or re.sub(r"\\(.)", r"\1", match["quoted"])
    number = float(match["margin"] or match["bound"])
    share = match["percent"] == "%"
    if not math.isfinite(number) or (match["margin"] and number < 0):
        raise _complaint(text)
    sign = match["sign"] or "within"
    return Claim(text.strip(), match["part"] or "last", metric, sign, number / 100 if share else number, share)


def judge_claims(
    recorded: Mapping[str, Any], replayed: Mapping[str, Any], claims: Iterable[str]
) -> list[dict[str, Any]]:
    """What became of each claim, as a verdict has it: `expr`, `held` (None: it cannot be told), both values.

    `recorded` and `replayed` are the summaries of the metrics of the two runs, as `run.json` has them.
    """
    found: list[dict[str, Any]] = []
    for text in list(claims)[:MOST]:
        try:
            claim = parse_claim(text)
        except UsageError:
            found.append({"expr": text, "held": None, "recorded": None, "replayed": None})
            continue
        before, after = _value(recorded, claim), _value(replayed, claim)
        held = claim.holds(before, after)
        found.append({"expr": text, "held": held, "recorded": before, "replayed": after})
    return found


def _value(metrics: Mapping[str, Any], claim: Claim) -> float | None:
    """The value that a claim is about; `metrics.loss` is `loss`, as in expressions, where nothing has that name."""
    summary = metrics.get(claim.metric) or metrics.get(claim.metric.removeprefix("metrics."))
    value = summary.get(claim.part) if isinstance(summary, Mapping) else None
    if type(value) is float:
        return value
    if type(value) is not int:
        return None
    return float(value) if abs(value) < 1 << 1000 else math.inf if value > 0 else -math.inf


def _complaint(text: str) -> UsageError:
    shown = text[:80] if text.isprintable() else repr(text[:80])
    return UsageError(
        f"{shown!r} is no claim: 'max:val_acc within 0.5%', 'loss within 0.01' and 'min:loss <= 0.3' are; a metric"
        " alone means its last value, and a name with spaces is written in quotes",
        next="gitrun claim --help",
    )
