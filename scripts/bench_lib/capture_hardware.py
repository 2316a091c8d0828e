"""What the facts of the machine cost a recorder: the first capture of a fresh process, its imports included.

Run alone, or as a part of `scripts/bench capture`, which takes `measure`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from ground import report

BOUND_MS = 5
# What a recorder has loaded by then is loaded first; the variables are captured before and not counted here.
SCRIPT = """
import os, time
import gitrun.recording.facts
from gitrun.capture.variables import capture_variables
from gitrun.capture.secrets import Redactor
environ = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "1"}
variables = capture_variables(environ, Redactor(environ)).value
for _ in range(2):
    start = time.perf_counter()
    from gitrun.capture.hardware import capture_hardware
    capture_hardware(environ=environ, variables=variables)
    print((time.perf_counter() - start) * 1e3)
"""

Row = tuple[str, str, str]


def measure(rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Rows for `ground.report`, and the medians in milliseconds."""
    first, again = [], []
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in range(rounds + 1):
        words = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=environ)
        values = [float(line) for line in done.stdout.split()]
        if number > 0:  # the first round writes bytecode
            first.append(values[0])
            again.append(values[1])
    data = {"hardware_ms": statistics.median(first), "hardware_again_ms": statistics.median(again)}
    rows = [
        ("hardware, a fresh process", f"{data['hardware_ms']:.1f} ms", f"at most {BOUND_MS} ms"),
        ("  the same without imports", f"{data['hardware_again_ms']:.1f} ms", ""),
    ]
    return rows, data


def main() -> None:
    rows, data = measure(15)
    report("hardware: medians of 15 rounds", rows, data, None)


if __name__ == "__main__":
    main()
