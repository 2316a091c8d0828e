"""What a run's author claimed of it, and what became of that in a replay."""

from __future__ import annotations

from gitrun.archive.run import Run
from gitrun.archive.since import claims_of as stated
from gitrun.model.claims import Claim, judge_claims, parse_claim

__all__ = ["Claim", "claims_of", "judge_claims", "parse_claim"]


def claims_of(run: Run) -> list[str]:
    """The claims of a run as they stand now: those it was recorded with, and those made and taken back since."""
    return stated(run.record.get("claims") or (), run.events())
