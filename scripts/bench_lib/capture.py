"""What is captured beside the source, and what that costs: the child, the environment, the machine.

Each part may be run alone: `python scripts/bench_lib/capture_child.py` and so on.
"""

from __future__ import annotations

import argparse

import capture_child
import capture_environment
import capture_hardware
from ground import report

PARTS = (capture_child, capture_environment, capture_hardware)


def main() -> None:
    """Measure all parts and report them as one."""
    parser = argparse.ArgumentParser(prog="scripts/bench capture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    data: dict[str, float] = {}
    for part in PARTS:
        more, values = part.measure(asked.rounds)
        rows += more
        data.update(values)
    report(f"capture: medians of {asked.rounds} rounds", rows, data, asked.json)
